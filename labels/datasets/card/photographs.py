"""Photographs of a card: for each class a typical, the clearest and the most borderline one, and a sheet of samples."""

import base64
import io
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from PIL import Image

from lightmeter.errors import LightmeterError
from lightmeter.exposure import format_number
from lightmeter.files import write_atomic
from lightmeter.images.crops import crop_bytes
from lightmeter.images.geometry import Box
from lightmeter.images.grid import Tile, draw_grid, fit
from lightmeter.images.reader import display_image
from lightmeter.labels.datasets.components import codes
from lightmeter.labels.datasets.dataset import Dataset
from lightmeter.labels.datasets.manifest import crop_of, label_column, stops_column
from lightmeter.labels.datasets.names import PhotoNames
from lightmeter.labels.datasets.spec import TargetSpec
from lightmeter.store.base import PhotoStore
from lightmeter.text.names import folder_name

SAMPLES = "samples"
"""Folder of the sheets in a data set."""

_SHEET_LINK = b"![Photographs of "
_SIDE, _SHEET_SIDE = 240, 180  # pixels
_COLUMNS, _PER_SHEET = 5, 10
_MAX_CLASSES = 24
_MAX_LINE = 30  # characters of a caption
_QUALITY = 82
_MAX_CACHED = 2000  # thumbnails of about 10 kB, which the folds of a data set share

Rows = NDArray[np.int64]


def without_samples(card: bytes) -> bytes:
    """Return a ``README.md`` without links to sheets, for folders that may not show all photographs."""
    lines = card.splitlines(keepends=True)
    return b"".join(line for line in lines if not (line.startswith(_SHEET_LINK) and b"](samples/" in line))


class CardPhotograph(NamedTuple):
    """A photograph of a card.

    Attributes:
        kind: Why it is shown; empty without a reason.
        lines: File name, measured value as photographers write it, photographer and licence.
        url: The picture as a data URL.
    """

    kind: str
    lines: Sequence[str]
    url: str


class ClassSample(NamedTuple):
    """Photographs of one class.

    Attributes:
        name: Class name.
        size: Number of photographs of the class.
        photographs: The most telling ones.
        sheet: File name of the sheet in `SAMPLES`; empty if no photograph can be read.
    """

    name: str
    size: int
    photographs: Sequence[CardPhotograph]
    sheet: str


class CardPhotographs:
    """Select photographs of a data set, and write sheets of samples into its folder.

    Args:
        dataset: Data set with its table of attributions.
        store: Store of the photographs. Those that it cannot read are left out.
    """

    def __init__(self, dataset: Dataset, store: PhotoStore) -> None:
        self._dataset, self._store = dataset, store
        self._groups = codes(dataset.manifest["group"])

    def samples(self, target: TargetSpec) -> list[ClassSample]:
        """Return photographs of each class, at most of the first `_MAX_CLASSES`."""
        members = _members(self._dataset.manifest, target)
        numbers = _numbers(self._dataset.manifest, target)
        names = target.classes[:_MAX_CLASSES]
        telling = [_telling(members[name], _others(members, name), numbers) for name in names]
        sheets = [self._one_of_each_group(members[name])[:_PER_SHEET] for name in names]
        rows = np.unique(np.concatenate([*sheets, *(np.fromiter(kinds, np.int64) for kinds in telling)]))
        photo_names = PhotoNames(self._dataset.folder, {row["sha256"] for row in self._rows(rows)})
        samples = []
        for number, (name, kinds, sheet) in enumerate(zip(names, telling, sheets, strict=True), start=1):
            shown = list(self._shown(target, kinds, photo_names))
            tiles = list(self._tiles(target, sheet, photo_names))
            file = f"{target.name}-{number}-{folder_name(name)}.jpg" if tiles else ""
            if tiles:
                title = f"{target.name} {name}: {len(tiles)} of {len(members[name])}"
                write_atomic(self._dataset.folder / SAMPLES / file, _sheet(title, tiles))
            samples.append(ClassSample(name, len(members[name]), shown, file))
        return samples

    def _one_of_each_group(self, rows: Rows) -> Rows:
        """Return rows in their order, but one of each group first."""
        firsts = np.unique(self._groups[rows], return_index=True)[1]
        return np.concatenate([rows[np.sort(firsts)], np.delete(rows, firsts)])

    def _shown(self, target: TargetSpec, kinds: Mapping[int, str], names: PhotoNames) -> Iterator[CardPhotograph]:
        for row, kind in zip(self._rows(list(kinds)), kinds.values(), strict=True):
            thumbnail = _thumbnail(self._store, row["sha256"], crop_of(row))
            if thumbnail is not None:
                url = f"data:image/jpeg;base64,{base64.b64encode(thumbnail).decode()}"
                yield CardPhotograph(kind, _lines(target, row, names), url)

    def _tiles(self, target: TargetSpec, rows: Rows, names: PhotoNames) -> Iterator[Tile]:
        for row in self._rows(rows):
            thumbnail = _thumbnail(self._store, row["sha256"], crop_of(row))
            if thumbnail is not None:
                image = Image.open(io.BytesIO(thumbnail))
                image.thumbnail((_SHEET_SIDE, _SHEET_SIDE))
                yield Tile(image, [fit(line, _MAX_LINE) for line in _lines(target, row, names)])

    def _rows(self, indices: Sequence[int] | Rows) -> list[dict[str, Any]]:
        rows: list[dict[str, Any]] = self._dataset.manifest.take(pa.array(indices, pa.int64())).to_pylist()
        return rows


def _lines(target: TargetSpec, row: Mapping[str, Any], names: PhotoNames) -> list[str]:
    value = None if target.multilabel else row[stops_column(target.name)]
    setting = "" if value is None else format_number(value, target.unit)
    credit = ", ".join(filter(None, (row["owner"], row["licence"])))
    return [line for line in (names[row["sha256"]], setting, credit) if line]


def _sheet(title: str, tiles: Sequence[Tile]) -> bytes:
    """Return a sheet of photographs as a JPEG."""
    content, columns = io.BytesIO(), max(2, min(_COLUMNS, len(tiles)))
    draw_grid(tiles, title, side=_SHEET_SIDE, columns=columns).save(content, "JPEG", quality=_QUALITY)
    return content.getvalue()


def _others(members: Mapping[str, Rows], name: str) -> Rows:
    """Return the rows of all other classes."""
    return np.concatenate([rows for key, rows in members.items() if key != name] or [members[name][:0]])


def _members(manifest: pa.Table, target: TargetSpec) -> dict[str, Rows]:
    """Return the rows of each class."""
    labels = manifest[label_column(target.name)].combine_chunks()
    rows = np.arange(len(labels))
    if target.multilabel:
        rows, labels = pc.list_parent_indices(labels).to_numpy(), pc.list_flatten(labels)
    classes = pc.fill_null(pc.index_in(labels, value_set=pa.array(target.classes, pa.string())), -1).to_numpy()
    return {name: rows[classes == code].astype(np.int64) for code, name in enumerate(target.classes)}


def _numbers(manifest: pa.Table, target: TargetSpec) -> NDArray[np.float64]:
    """Return the number of each photograph in the target's unit, NaN without one."""
    if target.multilabel or not target.unit:
        return np.full(manifest.num_rows, np.nan)
    return np.asarray(manifest[stops_column(target.name)].cast(pa.float64()).to_numpy(zero_copy_only=False))


def _telling(rows: Rows, others: Rows, numbers: NDArray[np.float64]) -> dict[int, str]:
    """Return the most telling photographs of a class, and why.

    Args:
        rows: Photographs of the class.
        others: Photographs of other classes.
        numbers: Number of each photograph.
    """
    measured, rest = rows[np.isfinite(numbers[rows])], np.sort(numbers[others][np.isfinite(numbers[others])])
    if not len(measured):
        return dict.fromkeys(rows[:1].tolist(), "")
    own = numbers[measured]
    kinds = {int(measured[np.abs(own - np.median(own)).argmin()]): "typical"}
    if len(rest):
        next_ = np.searchsorted(rest, own).clip(0, len(rest) - 1)
        gaps = np.minimum(np.abs(own - rest[next_]), np.abs(own - rest[np.maximum(next_ - 1, 0)]))
        if gaps.max() > gaps.min():
            clearest = int(measured[gaps.argmax()])
            if numbers[clearest] != np.median(own):
                kinds.setdefault(clearest, "clearest")
            kinds.setdefault(int(measured[gaps.argmin()]), "nearest to another class")
    return kinds


@lru_cache(_MAX_CACHED)
def _thumbnail(store: PhotoStore, sha256: str, box: Box | None) -> bytes | None:
    """Return a photograph or crop as a small JPEG; None if it cannot be read."""
    content = io.BytesIO()
    try:
        data = store.read(sha256)
        display_image(data if box is None else crop_bytes(data, box), _SIDE).convert("RGB").save(
            content, "JPEG", quality=_QUALITY
        )
    except (OSError, ValueError, LightmeterError):
        return None
    return content.getvalue()
