"""The card of a data set (``README.md``), its plots and its attributions."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from jinja2 import Environment, PackageLoader, StrictUndefined
from numpy.typing import NDArray
from pyarrow import csv
from sqlalchemy import Connection, select

from lightmeter.bootstrap import format_estimate
from lightmeter.files import atomic_path, write_atomic
from lightmeter.harvest.catalogue.exif_view import read_table
from lightmeter.harvest.catalogue.models import Image, Sighting
from lightmeter.labels.annotations.photo_facts import id_ranges
from lightmeter.labels.datasets.counts import Facet, class_counts, class_table, facets
from lightmeter.labels.datasets.dataset import SPLITS, Dataset, TargetSpec
from lightmeter.labels.datasets.plots import MAX_ROWS, plot_classes, plot_facet, plot_values
from lightmeter.labels.datasets.shortcuts import Baseline

_ATTRIBUTION = ("file", "title", "owner", "licence", "attribution", "source", "source_id", "page_url", "media_url")


def write_card(dataset: Dataset, advisories: Sequence[str], baselines: Mapping[str, Sequence[Baseline]]) -> None:
    """Write ``README.md`` and ``plots/``.

    Args:
        dataset: Data set with its future name.
        advisories: What a user should know, one sentence each.
        baselines: Shortcut baselines by target name.
    """
    split, plots = dataset.spec.split, dataset.folder / "plots"
    counted = facets(dataset.manifest)
    for target in dataset.spec.targets:
        plot_classes(plots / f"{target.name}-classes.png", target, dataset.manifest)
        plot_values(plots / f"{target.name}-values.png", target, dataset.manifest)
    for facet in counted:
        plot_facet(plots / f"{facet.title.lower()}.png", facet)
    environment = Environment(
        loader=PackageLoader("lightmeter.labels.datasets"),
        autoescape=False,  # noqa: S701 - Markdown
        undefined=StrictUndefined,
        keep_trailing_newline=True,
    )
    environment.filters["cell"] = _cell
    text = environment.get_template("README.md.jinja").render(
        spec=dataset.spec,
        split={"crop": "", "folds": 0, "holdout_source": "", **split},
        size=dataset.manifest.num_rows,
        ratios="/".join(f"{100 * ratio:g}" for ratio in split["ratios"]),
        advisories=advisories,
        targets=[_target_section(dataset, target, baselines[target.name]) for target in dataset.spec.targets],
        facets=[_facet_section(facet) for facet in counted],
    )
    write_atomic(dataset.folder / "README.md", text)


def _cell(value: object) -> str:
    return "–" if value is None else " ".join(str(value).replace("|", "\\|").split())


def _target_section(dataset: Dataset, target: TargetSpec, baselines: Sequence[Baseline]) -> dict[str, Any]:
    counts = class_counts(dataset.manifest, target)
    total = {split: sum(by_split[split] for by_split in counts.values()) for split in SPLITS}
    plots = [f"{target.name}-{kind}" for kind in ("classes", "values")]
    return {
        "name": target.name,
        "version": target.version,
        "table": class_table(dataset.spec, {**counts, "all": total}),
        "plots": [plot for plot in plots if (dataset.folder / "plots" / f"{plot}.png").is_file()],
        "baselines": baselines,
        "estimates": [(item.name, format_estimate(item.estimate)) for item in baselines],
    }


def _facet_section(facet: Facet) -> dict[str, Any]:
    rows = [(name, sum(counts.values()), *counts.values()) for name, counts in facet.rows]
    shown = rows if facet.title == "Years" else rows[:MAX_ROWS]
    return {
        "title": facet.title,
        "headings": (facet.title.lower().removesuffix("s"), "photographs", *SPLITS),
        "rows": shown,
        "others": len(rows) - len(shown),
        "other_photographs": sum(sum(counts.values()) for _, counts in facet.rows[len(shown) :]),
    }


def write_attribution(folder: Path, connection: Connection, image_ids: NDArray[np.int64]) -> None:
    """Write ``ATTRIBUTION.csv``, one row per sighting of a photograph.

    Args:
        folder: Data set folder.
        connection: Catalogue connection.
        image_ids: Image ids of the photographs.
    """
    fields = [("image_id", pa.int64()), *((name, pa.string()) for name in ("sha256", *_ATTRIBUTION))]
    query = select(Image.id, Image.sha256, *(getattr(Sighting, name) for name in _ATTRIBUTION))
    query = query.join(Sighting, Sighting.image_id == Image.id).order_by(Image.id, Sighting.id)
    with (
        atomic_path(folder / "ATTRIBUTION.csv") as temporary,
        csv.CSVWriter(temporary, pa.schema(fields[1:])) as writer,
    ):
        for id_range in id_ranges(connection):
            sightings = read_table(connection, query.where(id_range.covers(Image.id)), pa.schema(fields))
            mask = np.isin(sightings["image_id"].to_numpy(), image_ids)
            writer.write_table(sightings.filter(pa.array(mask)).drop_columns(["image_id"]))
