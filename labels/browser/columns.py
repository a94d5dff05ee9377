"""The photographs of a catalogue as columns in memory, which the browser filters, counts, groups and sorts by.

A facet of 100,000 photographs is counted in a millisecond; the same as SQL took seconds
(``benchmarks/scale/browser.py``).
"""

import json
import math
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from sqlalchemy import Connection

from lightmeter.exposure import NOMINAL_EXPOSURE_TIMES_S, NOMINAL_F_NUMBERS, NOMINAL_ISOS, format_setting
from lightmeter.labels.browser.facts import Facts, positions, read_facts
from lightmeter.text.names import common_spellings, name_key

Codes = NDArray[np.int32]
Numbers = NDArray[np.float64]
Mask = NDArray[np.bool_]

NOMINAL_FOCAL_LENGTHS_MM = (
    4.0, 5.0, 6.0, 8.0, 10.0, 12.0, 14.0, 16.0, 18.0, 20.0, 24.0, 28.0, 35.0, 40.0, 50.0, 60.0, 70.0, 85.0, 105.0,
    135.0, 150.0, 180.0, 200.0, 250.0, 300.0, 400.0, 500.0, 600.0, 800.0, 1200.0,
)  # fmt: skip
"""Usual focal lengths of lenses, in millimetres."""

_DIGITS = re.compile(r"(\d+)")
_MAX_SORTED_DIGITS = 18


@dataclass(frozen=True)
class Column:
    """One property of all photographs.

    Attributes:
        title: Heading.
        values: The values by code, as written in URLs.
        texts: The values by code, as shown.
        codes: Code of each photograph, -1 without a value, shape (n,).
        is_range: Whether the values are settings in ascending order, of which a range can be selected.
        is_ordered: Whether the values are shown in their own order; others by descending frequency.
    """

    title: str
    values: Sequence[str]
    texts: Sequence[str]
    codes: Codes
    is_range: bool = False
    is_ordered: bool = False

    def order(self, counts: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the codes in the order in which the values are shown.

        Args:
            counts: Number of photographs by code.
        """
        codes = np.arange(len(self.values))
        return codes if self.is_ordered else np.lexsort((codes, -counts))


@dataclass(frozen=True)
class Photographs:
    """The decodable photographs of a catalogue, in ascending order of their ids.

    Attributes:
        ids: Image ids, shape (n,).
        sha256: SHA-256 of each photograph.
        files: File name of each photograph.
        columns: Properties by name.
        sort_keys: Numbers to sort by, NaN without a value, by name.
        texts: Keys of the names of each photograph, which are searched.
        facts: What is known of the photographs.
    """

    ids: NDArray[np.int64]
    sha256: Sequence[str]
    files: Sequence[str]
    columns: Mapping[str, Column]
    sort_keys: Mapping[str, Numbers]
    texts: pa.Array
    facts: Facts

    def rows_of(self, ids: Any) -> NDArray[np.int64]:
        """Return the rows of image ids that are among the photographs, in the order of the ids."""
        rows = positions(self.ids, np.asarray(ids, dtype=np.int64))
        return rows[rows >= 0]

    def anonymous(self) -> "Photographs":
        """Return the photographs in random order, without anything about them to be seen, sorted or searched."""
        unknown = np.full(len(self.ids), np.nan)
        keys = dict.fromkeys(self.sort_keys, unknown) | {"file": _ranks(self.sha256)}
        files = [sha256[:12] for sha256 in self.sha256]
        return replace(self, files=files, columns={}, sort_keys=keys, texts=pa.array([""] * len(files), pa.string()))

    def mask_of(self, ids: Any) -> Mask:
        """Return which photographs are among image ids."""
        mask = np.zeros(len(self.ids), bool)
        mask[self.rows_of(ids)] = True
        return mask


@dataclass(frozen=True)
class _Setting:
    """A camera setting, shown in the nominal values of cameras."""

    title: str
    exif: str
    series: Sequence[float]

    def column(self, numbers: Numbers) -> Column:
        series = np.asarray(self.series)
        middles = np.sqrt(series[1:] * series[:-1])
        valid = numbers > 0
        codes = np.full(len(numbers), -1, np.int32)
        codes[valid] = np.searchsorted(middles, numbers[valid])
        texts = [format_setting(self.exif, value) for value in self.series]
        return Column(self.title, [_short(text) for text in texts], texts, codes, is_range=True, is_ordered=True)


SETTINGS = {
    "f": _Setting("Aperture", "f_number", NOMINAL_F_NUMBERS),
    "shutter": _Setting("Shutter speed", "exposure_time_s", NOMINAL_EXPOSURE_TIMES_S),
    "iso": _Setting("ISO", "iso", NOMINAL_ISOS),
    "mm": _Setting("Focal length", "focal_length_mm", NOMINAL_FOCAL_LENGTHS_MM),
}
"""Camera settings by their name in URLs, which is that of the query language."""


def read_photographs(connection: Connection) -> Photographs:
    """Read all decodable photographs of a catalogue.

    Args:
        connection: Catalogue connection.
    """
    facts = read_facts(connection)
    exif = {name: facts.exif[name].to_pylist() for name in ("make", "model", "lens", "taken_at")}
    sightings = {name: facts.first_sightings(name) for name in ("file", "owner", "licence", "source", "title", "tags")}
    sha256 = facts.images["sha256"].to_pylist()
    files = [file or sha256[:12] for file, sha256 in zip(sightings["file"], sha256, strict=True)]
    cameras = [_camera(make, model) for make, model in zip(exif["make"], exif["model"], strict=True)]
    taken: list[str | None] = exif["taken_at"]
    numbers = {name: _numbers(facts.exif[setting.exif]) for name, setting in SETTINGS.items()}
    columns = {
        "camera": text_column("Camera", cameras),
        "lens": text_column("Lens", exif["lens"]),
        **{name: setting.column(numbers[name]) for name, setting in SETTINGS.items()},
        "year": text_column("Year", [time and time[:4] for time in taken], ordered=True),
        "photographer": text_column("Photographer", sightings["owner"]),
        "licence": text_column("Licence", sightings["licence"]),
        "source": text_column("Source", sightings["source"]),
        **{
            f"filter.{name}": text_column(f"Filter {name}", table["verdict"].to_pylist())
            for name, table in facts.verdicts.items()
        },
    }
    ids = facts.images["id"].to_numpy()
    sort_keys = {"file": _ranks(list(map(_natural, files))), "found": ids.astype(np.float64), **numbers}
    sort_keys["taken"] = _ranks(taken)
    texts = (files, sightings["title"], sightings["owner"], cameras, exif["lens"], _tags(sightings["tags"]))
    return Photographs(ids, sha256, files, columns, sort_keys, _search_texts(*texts), facts)


def _numbers(column: pa.ChunkedArray) -> Numbers:
    numbers: Numbers = column.to_numpy().astype(np.float64)
    return numbers


def _tags(texts: Sequence[str | None]) -> list[str | None]:
    """Return lists in JSON as lines of text."""
    lines = {text: "\n".join(map(str, json.loads(text))) for text in set(texts) if text}
    return [lines.get(text) if text else None for text in texts]


def _search_texts(*columns: Sequence[str | None]) -> pa.Array:
    texts = [name_key("\n".join(filter(None, parts))) for parts in zip(*columns, strict=True)]
    return pa.array(texts, pa.string())


def text_column(title: str, texts: Sequence[str | None], *, ordered: bool = False) -> Column:
    """Return a column of texts; names with one key are one value, spelled as most often.

    Args:
        title: Heading.
        texts: Text of each photograph.
        ordered: Sort the values as texts instead of by frequency.
    """
    encoded = pa.array(texts, pa.string()).dictionary_encode()
    written: list[str] = encoded.dictionary.to_pylist()
    codes = encoded.indices.fill_null(-1).to_numpy().astype(np.int32)
    counts = dict(zip(written, np.bincount(codes[codes >= 0]).tolist(), strict=True))
    spellings = common_spellings(counts)
    totals: Counter[str] = Counter()
    for name, count in counts.items():
        totals[spellings[name]] += count
    values = sorted(totals, key=lambda name: name if ordered else (-totals[name], name))
    code_of = {name: code for code, name in enumerate(values)}
    new_code = np.array([*(code_of[spellings[name]] for name in written), -1], np.int32)  # the last one is that of -1
    return Column(title, values, values, new_code[codes], is_ordered=ordered)


def _camera(make: str | None, model: str | None) -> str | None:
    if not make or not model:
        return model or make
    return model if model.lower().startswith(make.split()[0].lower()) else f"{make} {model}"


def _short(text: str) -> str:
    """Return a formatted setting without its unit."""
    return text.removeprefix("f/").removeprefix("ISO ").removesuffix(" s").removesuffix(" mm")


def _natural(name: str) -> list[tuple[int, str]]:
    """Return the key by which names are sorted as people expect: ``d2.jpg`` before ``d10.jpg``."""
    parts = _DIGITS.split(name.lower())
    return [
        (int(part), "") if index % 2 and len(part) <= _MAX_SORTED_DIGITS else (-1, part)
        for index, part in enumerate(parts)
    ]


def _ranks(keys: Sequence[Any]) -> Numbers:
    """Return the position of each key in sorted order, NaN for None; equal keys keep their order."""
    ranks = np.full(len(keys), math.nan)
    order = sorted((index for index, key in enumerate(keys) if key is not None), key=lambda index: keys[index])
    ranks[order] = np.arange(len(order))
    return ranks
