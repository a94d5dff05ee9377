"""Export a data set with its images as WebDataset, image folder or Parquet."""

import csv
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from lightmeter.errors import UsageError
from lightmeter.labels.datasets.dataset import SPEC_FILE, SPLITS, Dataset
from lightmeter.labels.datasets.export.formats import FORMATS
from lightmeter.labels.datasets.export.samples import is_redistributable, samples
from lightmeter.plugins import unknown_name_message


@dataclass(frozen=True)
class ExportResult:
    """A finished export.

    Attributes:
        folder: Output folder.
        images: Number of images by split.
        excluded: Number of images whose licence does not permit redistribution.
    """

    folder: Path
    images: dict[str, int]
    excluded: int


def export(
    dataset: Dataset,
    folder: Path,
    format_name: str,
    *,
    any_licence: bool = False,
    on_progress: Callable[[int], object] = lambda _: None,
) -> ExportResult:
    """Export a data set: original bytes, or crops as lossless PNG.

    Args:
        dataset: Data set.
        folder: Output folder; it must not exist.
        format_name: ``webdataset``, ``imagefolder`` or ``parquet``.
        any_licence: Include images whose licence does not permit redistribution.
        on_progress: Called with the number of images written since the last call.

    Raises:
        UsageError: The format is unknown, the folder exists, or no image may be redistributed.
    """
    if format_name not in FORMATS:
        raise UsageError(unknown_name_message("format", format_name, list(FORMATS)))
    if folder.exists():
        raise UsageError(f"{folder} exists; choose another --out.")
    all_rows = dataset.rows()
    rows = [row for row in all_rows if any_licence or is_redistributable(row)]
    if not rows:
        raise UsageError(
            f"None of the {len(all_rows)} photographs has a licence that permits redistribution. Use --any-licence to "
            "export them for your own use."
        )
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".tmp-", dir=folder.parent) as temporary:
        draft = Path(temporary) / folder.name
        draft.mkdir()
        images: dict[str, int] = {}
        for split in SPLITS:
            split_samples = samples(dataset, [row for row in rows if row["split"] == split], on_progress)
            images[split] = FORMATS[format_name](draft, dataset.spec, split, split_samples)
        _copy_documents(dataset.folder, draft, {row["sha256"] for row in rows})
        draft.rename(folder)
    return ExportResult(folder, images, len(all_rows) - len(rows))


def _copy_documents(source: Path, draft: Path, hashes: set[str]) -> None:
    """Copy spec, card and plots, and the attributions of the exported photographs."""
    shutil.copy(source / SPEC_FILE, draft / SPEC_FILE)
    shutil.copy(source / "README.md", draft / "README.md")
    shutil.copytree(source / "plots", draft / "plots")
    with (
        (source / "ATTRIBUTION.csv").open(newline="", encoding="utf-8") as file,
        (draft / "ATTRIBUTION.csv").open("w", newline="", encoding="utf-8") as output,
    ):
        reader = csv.DictReader(file)
        writer = csv.DictWriter(output, reader.fieldnames or ())
        writer.writeheader()
        writer.writerows(row for row in reader if row["sha256"] in hashes)
