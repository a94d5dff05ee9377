"""Writing a pack: a folder that appears whole, with its card and with everyone to thank."""

import csv
import shutil
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lightmeter.errors import UsageError
from lightmeter.labels.datasets.dataset import SPEC_FILE, SPLITS, Dataset, Split
from lightmeter.labels.datasets.export.formats import FORMATS
from lightmeter.labels.datasets.export.samples import Sample, is_free, samples
from lightmeter.plugins import unknown_name_message


@dataclass(frozen=True)
class ExportResult:
    """A pack that was written.

    Attributes:
        folder: where it lies.
        pictures: by side.
        withheld: pictures that their licence does not let anyone pass on.
    """

    folder: Path
    pictures: dict[str, int]
    withheld: int


def export(
    dataset: Dataset,
    folder: Path,
    form: str,
    *,
    any_licence: bool = False,
    advance: Callable[[int], object] = lambda _: None,
) -> ExportResult:
    """Write a pack: original bytes, or crops as lossless PNG where the data set consists of crops.

    Args:
        dataset: what is packed.
        folder: of the pack; it must not exist.
        form: ``webdataset``, ``imagefolder`` or ``parquet``.
        any_licence: pack photographs that may not be passed on, too.
        advance: told after each picture.

    Raises:
        UsageError: if the form is unknown, the folder exists, or nothing is left to pack.
    """
    if form not in FORMATS:
        raise UsageError(unknown_name_message("format", form, list(FORMATS)))
    if folder.exists():
        raise UsageError(f"{folder} is there already; choose another --out.")
    rows = dataset.rows()
    keep = [row for row in rows if any_licence or is_free(row)]
    if not keep:
        raise UsageError(
            f"No licence of the {len(rows)} photographs lets anyone pass them on, and without one nobody may; "
            "--any-licence packs them for your own use."
        )
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".tmp-", dir=folder.parent) as made:
        draft = Path(made) / folder.name
        draft.mkdir()
        pictures: dict[str, int] = {side: _write_side(dataset, draft, form, side, keep, advance) for side in SPLITS}
        _companions(dataset, draft, {row["sha256"] for row in keep})
        draft.rename(folder)
    return ExportResult(folder, pictures, len(rows) - len(keep))


def _write_side(
    dataset: Dataset, draft: Path, form: str, side: Split, rows: list[dict[str, Any]], advance: Callable[[int], object]
) -> int:
    pictures = samples(dataset, [row for row in rows if row["split"] == side])
    return FORMATS[form](draft, dataset.spec, side, _told(pictures, advance))


def _told(pictures: Iterator[Sample], advance: Callable[[int], object]) -> Iterator[Sample]:
    for item in pictures:
        yield item
        advance(1)


def _companions(dataset: Dataset, draft: Path, keep: set[str]) -> None:
    """Copy card and spec, and the attributions of what is in the pack."""
    shutil.copy(dataset.folder / SPEC_FILE, draft / SPEC_FILE)
    shutil.copy(dataset.folder / "README.md", draft / "README.md")
    if (dataset.folder / "plots").is_dir():
        shutil.copytree(dataset.folder / "plots", draft / "plots")
    with (
        (dataset.folder / "ATTRIBUTION.csv").open(newline="", encoding="utf-8") as source,
        (draft / "ATTRIBUTION.csv").open("w", newline="", encoding="utf-8") as target,
    ):
        reader = csv.DictReader(source)
        writer = csv.DictWriter(target, reader.fieldnames or ())
        writer.writeheader()
        writer.writerows(row for row in reader if row["sha256"] in keep)
