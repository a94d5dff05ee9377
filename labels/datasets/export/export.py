"""Pack a data set with its images as WebDataset, image folder or Parquet."""

import csv
import io
import shutil
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any, Literal

import pyarrow as pa
import pyarrow.compute as pc
import yaml

from lightmeter.errors import UsageError
from lightmeter.files import open_regular, remove_leftovers, temporary_folder
from lightmeter.images.formats import SUFFIXES
from lightmeter.labels.datasets.card.card import CARD_PAGE
from lightmeter.labels.datasets.card.citation import write_citation
from lightmeter.labels.datasets.card.photographs import SAMPLES, without_samples
from lightmeter.labels.datasets.dataset import Dataset, write_dataset
from lightmeter.labels.datasets.export.formats import FORMATS, webdataset_features, write_webdataset
from lightmeter.labels.datasets.export.pack_croissant import write_pack_croissant
from lightmeter.labels.datasets.export.samples import (
    FILE_HASH,
    METADATA_COLUMNS,
    Sample,
    is_redistributable,
    samples,
)
from lightmeter.labels.datasets.manifest import SPLITS, crop_of, label_column, stops_column
from lightmeter.labels.datasets.pack import write_index
from lightmeter.labels.datasets.spec import write_spec
from lightmeter.plugins import unknown_name_message
from lightmeter.store.base import relative_path

_HUGGING_FACE_LICENCES = frozenset({"cc0-1.0", "cc-by-4.0", "cc-by-sa-4.0", "cc-by-nc-4.0", "cc-by-nc-sa-4.0", "odbl"})
"""Licences of compilations that Hugging Face knows by the SPDX identifier in lower case."""


@dataclass(frozen=True)
class ExportResult:
    """A finished pack.

    Attributes:
        folder: Output folder.
        images: Number of images by split.
        excluded: Number of images whose licence does not permit redistribution.
        metadata: What was done with the metadata of the images: ``removed`` or ``kept``.
        converted: Number of photographs by format that were stored in another, lossless format.
        equal: Number of images that equal others and are not named again in the manifest of a WebDataset pack.
    """

    folder: Path
    images: dict[str, int]
    excluded: int
    metadata: Literal["removed", "kept"]
    converted: dict[str, int]
    equal: int = 0


@dataclass
class _Written:
    """What was written: number of images and bytes by split, suffixes, converted formats, and manifest rows."""

    images: Counter[str] = field(default_factory=Counter)
    bytes: Counter[str] = field(default_factory=Counter)
    suffixes: set[str] = field(default_factory=set)
    converted: Counter[str] = field(default_factory=Counter)
    rows: list[dict[str, Any]] = field(default_factory=list)

    def watch(self, split: str, rows: Iterable[Mapping[str, Any]], split_samples: Iterable[Sample]) -> Iterator[Sample]:
        for row, sample in zip(rows, split_samples, strict=True):
            self.rows.append(_packed_row(row, sample))
            self.images[split] += 1
            self.bytes[split] += len(sample.data)
            self.suffixes.add(sample.suffix)
            if sample.converted:
                self.converted[sample.converted] += 1
            yield sample


def export(
    dataset: Dataset,
    folder: Path,
    format_name: str,
    *,
    any_licence: bool = False,
    keep_metadata: bool = False,
    shard_mb: int | None = None,
    on_progress: Callable[[int], object] = lambda _: None,
) -> ExportResult:
    """Pack a data set: its photographs without metadata, or crops as lossless PNG.

    Args:
        dataset: Data set.
        folder: Output folder; it must not exist.
        format_name: ``webdataset``, ``imagefolder`` or ``parquet``.
        any_licence: Include images whose licence does not permit redistribution.
        keep_metadata: Pack the original bytes of photographs, with all their metadata.
        shard_mb: Size of the tar files of a WebDataset pack in megabytes, but for the last image (default: 256).
        on_progress: Called with the number of images written since the last call.

    Raises:
        UsageError: The format is unknown, the folder exists, no image may be redistributed, or a file of the data set
            is not what the data set says.
    """
    if format_name not in FORMATS:
        raise UsageError(unknown_name_message("format", format_name, list(FORMATS)))
    write = FORMATS[format_name].write
    if shard_mb is not None:
        if format_name != "webdataset":
            raise UsageError("--shard-mb is for --format webdataset.")
        write = partial(write_webdataset, shard_bytes=shard_mb * 2**20)
    if not dataset.spec.store:
        raise UsageError(f"{dataset.folder} is a pack; pack the data set that it was made of.")
    remove_leftovers(folder.absolute().parent)
    if folder.exists():
        raise UsageError(f"{folder} exists; choose another --out.")
    all_rows = dataset.rows()
    rows = [row for row in all_rows if any_licence or is_redistributable(row)]
    if not rows:
        raise UsageError(
            f"None of the {len(all_rows)} photographs has a licence that permits redistribution. Use --any-licence to "
            "pack them for your own use."
        )
    with temporary_folder(folder.absolute().parent) as temporary:
        draft = temporary / folder.name
        draft.mkdir()
        written = _Written()
        for split in SPLITS:
            split_rows = [row for row in rows if row["split"] == split]
            split_samples = samples(dataset, split_rows, keep_metadata=keep_metadata, on_progress=on_progress)
            write(draft, dataset.spec, split, written.watch(split, split_rows, split_samples))
        header = _header(dataset, format_name, written)
        note = _images_note(dataset, written, keep_metadata=keep_metadata)
        hashes = {row["sha256"] for row in rows}
        _copy_documents(dataset.folder, draft, hashes, header, note, samples=len(rows) == len(all_rows))
        spec = replace(dataset.spec, store="")  # the path can hold a name
        write_spec(draft, spec)
        packed = dataset.manifest.filter(pc.is_in(dataset.manifest["sha256"], pa.array(sorted(hashes))))
        counts = {split: written.images[split] for split in SPLITS}
        pack = Dataset(draft, replace(spec, counts=counts), packed)
        write_citation(pack)
        write_pack_croissant(pack, format_name)
        equal = _write_manifest(draft, dataset, written) if format_name == "webdataset" else 0
        try:
            draft.rename(folder)
        except OSError as error:  # made meanwhile
            raise UsageError(f"Cannot write {folder} ({error.strerror}); choose another --out.") from error
    return ExportResult(
        folder,
        {split: written.images[split] for split in SPLITS},
        len(all_rows) - len(rows),
        "kept" if keep_metadata else "removed",
        dict(written.converted),
        equal,
    )


def _packed_row(row: Mapping[str, Any], sample: Sample) -> dict[str, Any]:
    """Return the manifest row of a packed image: no crop, and no metadata but what the pack publishes."""
    sha256, box = sample.metadata[FILE_HASH], crop_of(row)
    stops = {stops_column(name): value for name, value in sample.stops.items()}
    return {
        **{name: row[name] for name in METADATA_COLUMNS},
        "sha256": sha256,
        "path": relative_path(sha256),
        "split": row["split"],
        "format": next(name for name, suffix in SUFFIXES.items() if suffix == sample.suffix),
        "width": box.width if box else row["width"],
        "height": box.height if box else row["height"],
        "file_size": len(sample.data),
        **{label_column(name): label for name, label in sample.labels.items()},
        **stops,
    }


def _write_manifest(draft: Path, dataset: Dataset, written: _Written) -> int:
    """Write what makes a WebDataset pack a data set; return how many of its images equal others.

    Photographs that differ in their metadata alone are one image, with the labels of the first.
    """
    write_index(draft, [row["sha256"] for row in written.rows])
    rows: dict[str, dict[str, Any]] = {}
    for row in written.rows:
        rows.setdefault(row["sha256"], row)
    manifest = pa.Table.from_pylist([rows[sha256] for sha256 in sorted(rows)], dataset.manifest.schema)
    packed = {"name": dataset.spec.name, "manifest_sha256": dataset.spec.manifest_sha256}
    spec = replace(
        dataset.spec,
        store="",
        split={**dataset.spec.split, "packed": packed},
        counts={split: pc.sum(pc.equal(manifest["split"], split)).as_py() for split in SPLITS},
    )
    write_dataset(draft, spec, manifest)
    return len(written.rows) - len(rows)


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
    licence = dataset.spec.publication.licence
    header: Mapping[str, Any] = {
        "pretty_name": dataset.spec.name,
        "license": licence.lower() if licence.lower() in _HUGGING_FACE_LICENCES else "other",
        "license_name": licence or "licences-of-the-photographs",
        "license_link": "ATTRIBUTION.csv",
        "task_categories": ["image-classification"],
        "size_categories": [_size_category(written.images.total())],
        "tags": ["photography", "croissant", *(target.name for target in dataset.spec.targets)],
        "configs": [{"config_name": "default", "data_files": data_files}],
        "dataset_info": info,
    }
    return f"---\n{yaml.safe_dump(header, sort_keys=False, allow_unicode=True)}---\n\n"


def _size_category(count: int) -> str:
    """Return the size of a data set as Hugging Face classes it."""
    bounds = {"1K": 10**3, "10K": 10**4, "100K": 10**5, "1M": 10**6, "10M": 10**7, "100M": 10**8}
    names = ["n", *bounds]
    for index, (name, bound) in enumerate(bounds.items()):
        if count < bound:
            return f"n<{name}" if index == 0 else f"{names[index]}<n<{name}"
    return "n>100M"


def _images_note(dataset: Dataset, written: _Written, *, keep_metadata: bool) -> str:
    """Return the section of the README about the images."""
    if "crop" in dataset.spec.split:
        text = "The images are crops as lossless PNG, without metadata except orientation and colour profile."
    elif keep_metadata:
        text = (
            "The images are the original files with all their metadata, which can contain names, serial numbers and "
            "coordinates."
        )
    else:
        text = (
            "The images have the pixels of the original files, without metadata except orientation and colour profile."
        )
    if written.converted:
        counts = ", ".join(f"{count} {name}" for name, count in sorted(written.converted.items()))
        text += f" Converted to lossless PNG or TIFF: {counts}."
    hashes = "`sha256` and the file names are the SHA-256 of the original photographs, `file_sha256` or `SHA256SUMS`"
    return f"\n## Images\n\n{text} {hashes} that of the images in this pack.\n"


def _copy_documents(source: Path, draft: Path, hashes: set[str], header: str, note: str, *, samples: bool) -> None:
    """Copy card and plots, and the attributions of the packed photographs.

    Args:
        source: Folder of the data set.
        draft: Folder of the pack.
        hashes: SHA-256 of the packed photographs.
        header: Header of the README.
        note: Last section of the README.
        samples: Copy the pictures of the card too; otherwise they may show photographs that are not packed.

    Raises:
        UsageError: One of them is missing or a link.
    """
    try:
        with open_regular(source / "README.md") as card:
            text = card.read() if samples else without_samples(card.read())
            (draft / "README.md").write_bytes(header.encode() + text + note.encode())
        for folder, pattern in (("plots", "*.svg"), (SAMPLES, "*.jpg")) if samples else (("plots", "*.svg"),):
            (draft / folder).mkdir()
            for picture in sorted(_folder(source / folder).glob(pattern)):
                _copy(picture, draft / folder / picture.name)
        if samples:
            _copy(source / CARD_PAGE, draft / CARD_PAGE)
        with (
            open_regular(source / "ATTRIBUTION.csv") as file,
            (draft / "ATTRIBUTION.csv").open("w", newline="", encoding="utf-8") as output,
        ):
            reader = csv.DictReader(io.TextIOWrapper(file, "utf-8", newline=""))
            writer = csv.DictWriter(output, _columns(reader.fieldnames))
            writer.writeheader()
            writer.writerows(row for row in reader if row["sha256"] in hashes)  # cells are quoted already
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
