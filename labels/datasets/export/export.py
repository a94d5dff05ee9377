"""Pack a data set with its images as WebDataset, image folder or Parquet."""

import csv
import io
import shutil
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from lightmeter.errors import UsageError
from lightmeter.files import open_regular, temporary_folder
from lightmeter.labels.datasets.dataset import SPEC_FILE, SPLITS, Dataset
from lightmeter.labels.datasets.export.formats import FORMATS, webdataset_features
from lightmeter.labels.datasets.export.samples import Sample, is_redistributable, samples
from lightmeter.plugins import unknown_name_message


@dataclass(frozen=True)
class ExportResult:
    """A finished pack.

    Attributes:
        folder: Output folder.
        images: Number of images by split.
        excluded: Number of images whose licence does not permit redistribution.
    """

    folder: Path
    images: dict[str, int]
    excluded: int


@dataclass
class _Written:
    """What was written: number of images and their bytes by split, and suffixes."""

    images: Counter[str] = field(default_factory=Counter)
    bytes: Counter[str] = field(default_factory=Counter)
    suffixes: set[str] = field(default_factory=set)

    def watch(self, split: str, split_samples: Iterable[Sample]) -> Iterator[Sample]:
        for sample in split_samples:
            self.images[split] += 1
            self.bytes[split] += len(sample.data)
            self.suffixes.add(sample.suffix)
            yield sample


def export(
    dataset: Dataset,
    folder: Path,
    format_name: str,
    *,
    any_licence: bool = False,
    on_progress: Callable[[int], object] = lambda _: None,
) -> ExportResult:
    """Pack a data set: original bytes, or crops as lossless PNG.

    Args:
        dataset: Data set.
        folder: Output folder; it must not exist.
        format_name: ``webdataset``, ``imagefolder`` or ``parquet``.
        any_licence: Include images whose licence does not permit redistribution.
        on_progress: Called with the number of images written since the last call.

    Raises:
        UsageError: The format is unknown, the folder exists, no image may be redistributed, or a file of the data set
            is not what the data set says.
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
            "pack them for your own use."
        )
    nearest = next(parent for parent in folder.absolute().parents if parent.is_dir())
    with temporary_folder(nearest) as temporary:
        draft = temporary / folder.name
        draft.mkdir()
        written = _Written()
        for split in SPLITS:
            split_samples = samples(dataset, [row for row in rows if row["split"] == split], on_progress)
            FORMATS[format_name].write(draft, dataset.spec, split, written.watch(split, split_samples))
        header = _header(dataset, format_name, written)
        _copy_documents(dataset.folder, draft, {row["sha256"] for row in rows}, header)
        folder.parent.mkdir(parents=True, exist_ok=True)
        try:
            draft.rename(folder)
        except OSError as error:  # made meanwhile
            raise UsageError(f"Cannot write {folder} ({error.strerror}); choose another --out.") from error
    return ExportResult(folder, {split: written.images[split] for split in SPLITS}, len(all_rows) - len(rows))


def _header(dataset: Dataset, format_name: str, written: _Written) -> str:
    """Return the header of the README, which tells Hugging Face ``datasets`` where the splits are."""
    splits = [split for split in SPLITS if written.images[split]]
    pattern = FORMATS[format_name].files
    info: dict[str, Any] = {
        "splits": [
            {"name": split, "num_bytes": written.bytes[split], "num_examples": written.images[split]}
            for split in splits
        ],
        "download_size": written.bytes.total(),
        "dataset_size": written.bytes.total(),
    }
    if format_name == "webdataset":
        info["features"] = webdataset_features(dataset.spec, written.suffixes)
    data_files = [{"split": split, "path": pattern.format(split=split)} for split in splits]
    header: Mapping[str, Any] = {
        "pretty_name": dataset.spec.name,
        "configs": [{"config_name": "default", "data_files": data_files}],
        "dataset_info": info,
    }
    return f"---\n{yaml.safe_dump(header, sort_keys=False, allow_unicode=True)}---\n\n"


def _copy_documents(source: Path, draft: Path, hashes: set[str], header: str) -> None:
    """Copy spec, card and plots, and the attributions of the packed photographs.

    Raises:
        UsageError: One of them is missing or a link.
    """
    try:
        _copy(source / SPEC_FILE, draft / SPEC_FILE)
        with open_regular(source / "README.md") as card:
            (draft / "README.md").write_bytes(header.encode() + card.read())
        (draft / "plots").mkdir()
        for plot in sorted(_folder(source / "plots").glob("*.png")):
            _copy(plot, draft / "plots" / plot.name)
        with (
            open_regular(source / "ATTRIBUTION.csv") as file,
            (draft / "ATTRIBUTION.csv").open("w", newline="", encoding="utf-8") as output,
        ):
            reader = csv.DictReader(io.TextIOWrapper(file, "utf-8", newline=""))
            writer = csv.DictWriter(output, _columns(reader.fieldnames))
            writer.writeheader()
            writer.writerows(row for row in reader if row["sha256"] in hashes)
    except (OSError, ValueError, csv.Error) as error:
        raise UsageError(f"A file of the data set {source} cannot be copied: {error}.") from error


def _folder(path: Path) -> Path:
    if path.is_symlink():
        raise OSError(0, "it is a link", str(path))
    return path


def _columns(names: Sequence[str] | None) -> Sequence[str]:
    if not names or "sha256" not in names:
        raise ValueError("ATTRIBUTION.csv has no column sha256")
    return names


def _copy(source: Path, target: Path) -> None:
    with open_regular(source) as file, target.open("wb") as output:
        shutil.copyfileobj(file, output)
