"""The photographs of a catalogue as columns in memory, which the browser filters, counts, groups and sorts by.

A facet of 100,000 photographs is counted in a millisecond; the same as SQL took seconds
(``benchmarks/scale/browser.py``).
"""

import json
import math
import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from sqlalchemy import Connection

from lightmeter.exposure import NOMINAL_EXPOSURE_TIMES_S, NOMINAL_F_NUMBERS, NOMINAL_ISOS, format_setting
from lightmeter.labels.browser.facts import Facts, positions, read_facts, whole
from lightmeter.text.names import common_spellings, name_key

Codes = NDArray[np.int32]
Numbers = NDArray[np.float64]
Mask = NDArray[np.bool_]

NOMINAL_FOCAL_LENGTHS_MM = (
    4.0, 5.0, 6.0, 8.0, 10.0, 12.0, 14.0, 16.0, 18.0, 20.0, 24.0, 28.0, 35.0, 40.0, 50.0, 60.0, 70.0, 85.0, 105.0,
    135.0, 150.0, 180.0, 200.0, 250.0, 300.0, 400.0, 500.0, 600.0, 800.0, 1200.0,
)  # fmt: skip
"""Usual focal lengths of lenses, in millimetres."""

_DIGITS = re.compile(r"\d+")
_MAX_SORTED_DIGITS = 18
_CHUNK = 65_536  # texts that are lists of Python at a time


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
        texts: The names of each photograph, which are searched.
        facts: What is known of the photographs.
    """

    ids: NDArray[np.int64]
    sha256: pa.Array
    files: pa.Array
    columns: Mapping[str, Column]
    sort_keys: "SortKeys"
    texts: "SearchTexts"
    facts: Facts

    def rows_of(self, ids: Any) -> NDArray[np.int64]:
        """Return the rows of image ids that are among the photographs, in the order of the ids."""
        rows = positions(self.ids, np.asarray(ids, dtype=np.int64))
        return rows[rows >= 0]

    def anonymous(self) -> "Photographs":
        """Return the photographs in random order, without anything about them to be seen, sorted or searched."""
        unknown = np.full(len(self.ids), np.nan)
        keys = SortKeys(dict.fromkeys(self.sort_keys, lambda: unknown) | {"file": lambda: _ranks(self.sha256)})
        files = pc.utf8_slice_codeunits(self.sha256, 0, 12)
        return replace(self, files=files, columns={}, sort_keys=keys, texts=SearchTexts([], len(self.ids)))

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
    sightings = {name: facts.first_sightings(name) for name in ("file", "owner", "licence", "source", "title", "tags")}
    ids, sha256 = facts.images["id"].to_numpy(), whole(facts.images["sha256"])
    has_name = pc.fill_null(pc.greater(pc.utf8_length(sightings["file"]), 0), fill_value=False)
    files = pc.if_else(has_name, sightings["file"], pc.utf8_slice_codeunits(sha256, 0, 12))
    cameras, lenses, taken = _cameras(facts.exif), whole(facts.exif["lens"]), whole(facts.exif["taken_at"])
    columns = {
        "camera": text_column("Camera", cameras),
        "lens": text_column("Lens", lenses),
        **{name: setting.column(_numbers(facts.exif[setting.exif])) for name, setting in SETTINGS.items()},
        "year": text_column("Year", pc.utf8_slice_codeunits(taken, 0, 4), ordered=True),
        "photographer": text_column("Photographer", sightings["owner"]),
        "licence": text_column("Licence", sightings["licence"]),
        "source": text_column("Source", sightings["source"]),
        **{f"filter.{name}": text_column(f"Filter {name}", table["verdict"]) for name, table in facts.verdicts.items()},
    }
    sort_keys: dict[str, Callable[[], Numbers]] = {
        "file": lambda: _ranks(_natural_keys(files)),
        "found": lambda: ids.astype(np.float64),
        "taken": lambda: _ranks(taken),
        **{name: partial(_numbers, facts.exif[setting.exif]) for name, setting in SETTINGS.items()},
    }
    texts = (files, sightings["title"], sightings["owner"], cameras, lenses, _tags(sightings["tags"]))
    return Photographs(ids, sha256, files, columns, SortKeys(sort_keys), SearchTexts(texts, len(ids)), facts)


class SortKeys(Mapping[str, Numbers]):
    """Numbers to sort by, computed when they are first used.

    Args:
        functions: Functions that compute them, by name.
    """

    def __init__(self, functions: Mapping[str, Callable[[], Numbers]]) -> None:
        self._functions, self._keys = functions, dict[str, Numbers]()

    def __getitem__(self, name: str) -> Numbers:
        """Return the numbers of a name."""
        if name not in self._keys:
            self._keys[name] = self._functions[name]()
        return self._keys[name]

    def __iter__(self) -> Iterator[str]:
        """Iterate over the names."""
        return iter(self._functions)

    def __len__(self) -> int:
        """Return the number of names."""
        return len(self._functions)


class SearchTexts:
    """Texts of photographs, in which words are searched; their keys are computed at the first search.

    Args:
        texts: Texts or dictionaries of texts, a row per photograph.
        count: Number of photographs.
    """

    def __init__(self, texts: Sequence[pa.Array], count: int) -> None:
        self._texts, self._count = texts, count

    @cached_property
    def _keys(self) -> list[tuple[pa.Array, Codes | None]]:
        """Return the keys of all texts or of a dictionary, with the codes of the photographs in it."""
        return [
            (_name_keys(texts.dictionary), texts.indices.fill_null(-1).to_numpy())
            if pa.types.is_dictionary(texts.type)
            else (_name_keys(texts), None)
            for texts in self._texts
        ]

    def having(self, word: str) -> Mask:
        """Return which photographs have a text that contains a word.

        Args:
            word: Key of a name without blanks.
        """
        mask = np.zeros(self._count, bool)
        for keys, codes in self._keys:
            matches = pc.fill_null(pc.match_substring(keys, word), fill_value=False).to_numpy(zero_copy_only=False)
            mask |= matches if codes is None else np.append(matches, False)[codes]  # the last one is that of -1
        return mask


def _name_keys(texts: pa.Array) -> pa.Array:
    chunks = (texts.slice(start, _CHUNK) for start in range(0, len(texts), _CHUNK))
    keys = [pa.array([text and name_key(text) for text in chunk.to_pylist()], pa.string()) for chunk in chunks]
    return pa.concat_arrays(keys) if keys else texts


def _numbers(column: pa.ChunkedArray) -> Numbers:
    numbers: Numbers = column.to_numpy().astype(np.float64)
    return numbers


def _tags(texts: pa.DictionaryArray) -> pa.DictionaryArray:
    """Return lists in JSON as lines of text."""
    lines = ["\n".join(map(str, json.loads(text))) if text else None for text in texts.dictionary.to_pylist()]
    return pa.DictionaryArray.from_arrays(texts.indices, pa.array(lines, pa.string()))


def text_column(title: str, texts: pa.Array | pa.ChunkedArray, *, ordered: bool = False) -> Column:
    """Return a column of texts; names with one key are one value, spelled as most often.

    Args:
        title: Heading.
        texts: Text of each photograph, or a dictionary of them.
        ordered: Sort the values as texts instead of by frequency.
    """
    texts = whole(texts) if isinstance(texts, pa.ChunkedArray) else texts
    encoded = texts if pa.types.is_dictionary(texts.type) else texts.dictionary_encode()
    written: list[str] = encoded.dictionary.to_pylist()
    codes = encoded.indices.fill_null(-1).to_numpy()
    numbers = np.bincount(codes[codes >= 0], minlength=len(written)).tolist()
    counts = {name: count for name, count in zip(written, numbers, strict=True) if count}
    spellings = common_spellings(counts)
    totals: Counter[str] = Counter()
    for name, count in counts.items():
        totals[spellings[name]] += count
    values = sorted(totals, key=lambda name: name if ordered else (-totals[name], name))
    code_of = {name: code for code, name in enumerate(values)}
    new_code = [code_of[spellings[name]] if name in counts else -1 for name in written]
    return Column(title, values, values, np.array([*new_code, -1], np.int32)[codes], is_ordered=ordered)


def _cameras(exif: pa.Table) -> pa.DictionaryArray:
    """Return the name of each camera: its make and model, without repetition."""
    make, model = (whole(exif[name]) for name in ("make", "model"))
    makes, models = [*make.dictionary.to_pylist(), None], [*model.dictionary.to_pylist(), None]
    code_of_make = make.indices.fill_null(len(makes) - 1).to_numpy().astype(np.int64)
    pairs = code_of_make * len(models) + model.indices.fill_null(len(models) - 1).to_numpy()
    distinct, codes = np.unique(pairs, return_inverse=True)
    names = [_camera(makes[pair // len(models)], models[pair % len(models)]) for pair in distinct.tolist()]
    return pa.array(names, pa.string()).take(pa.array(codes.reshape(-1))).dictionary_encode()


def _camera(make: str | None, model: str | None) -> str | None:
    if not make or not model:
        return model or make
    return model if model.lower().startswith(make.split()[0].lower()) else f"{make} {model}"


def _short(text: str) -> str:
    """Return a formatted setting without its unit."""
    return text.removeprefix("f/").removeprefix("ISO ").removesuffix(" s").removesuffix(" mm")


def _natural_keys(names: pa.Array) -> pa.Array:
    """Return texts by which names are sorted as people expect: ``d2.jpg`` before ``d10.jpg``."""
    chunks = (names.slice(start, _CHUNK) for start in range(0, len(names), _CHUNK))
    keys = [pa.array(map(_natural_key, chunk.to_pylist()), pa.string()) for chunk in chunks]
    return pa.concat_arrays(keys) if keys else names


def _natural_key(name: str) -> str:
    """Return a name in lower case with numbers of equal length; NUL, which no name has, ends each of its parts."""
    return _DIGITS.sub(_padded, name.lower())


def _padded(digits: re.Match[str]) -> str:
    """Return a number with leading zeros between NULs; one that is too long comes first, as it is."""
    number = digits[0] if digits[0].isascii() else str(int(digits[0]))
    return (
        f"\0001{number.zfill(_MAX_SORTED_DIGITS)}\0" if len(digits[0]) <= _MAX_SORTED_DIGITS else f"\0000{digits[0]}\0"
    )


def _ranks(keys: pa.Array) -> Numbers:
    """Return the position of each text in sorted order, NaN for null; equal ones keep their order."""
    ranks = np.full(len(keys), math.nan)
    order = pc.sort_indices(keys).to_numpy()[: len(keys) - keys.null_count]  # stable; null comes last
    ranks[order] = np.arange(len(order))
    return ranks
