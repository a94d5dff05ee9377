"""Counting a data set's photographs."""

import pyarrow as pa

from labels.dataset import SPLITS, TargetSpec, label_column


def class_counts(manifest: pa.Table, target: TargetSpec) -> dict[str, dict[str, int]]:
    """Return the photographs of each class on each side."""
    column = label_column(target.name)
    counted = manifest.group_by([column, "split"]).aggregate([([], "count_all")]).to_pylist()
    found = {(row[column], row["split"]): row["count_all"] for row in counted}
    return {name: {side: found.get((name, side), 0) for side in SPLITS} for name in target.classes}
