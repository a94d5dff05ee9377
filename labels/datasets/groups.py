"""Which photographs belong together: connected by a photographer, a camera body or near-identical pictures."""

from collections.abc import Sequence
from typing import Literal, get_args

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from lightmeter.harvest.filters.perceptual_hash import merge_components
from lightmeter.labels.datasets.duplicates import near_duplicates

GroupKey = Literal["photographer", "camera", "duplicates"]
GROUP_KEYS: tuple[GroupKey, ...] = get_args(GroupKey)

Numbers = NDArray[np.int64]
Links = dict[str, tuple[Numbers, Numbers]]
"""By kind: rows and the keys that they have, each of the same shape (links,)."""


def connect(count: int, links: Links) -> Numbers:
    """Return for each photograph the number of its group; whoever shares a key, directly or by way of others, is one.

    Args:
        count: of photographs.
        links: their keys.

    Returns:
        Group numbers, shape (count,), in the order in which groups first appear.
    """
    labels = np.arange(count, dtype=np.int64)
    ones, others = [labels[:0]], [labels[:0]]
    for rows, keys in links.values():
        _, first, key = np.unique(keys, return_index=True, return_inverse=True)
        ones.append(rows)
        others.append(rows[first[key]])
    joined = merge_components(labels, np.concatenate(ones), np.concatenate(others))
    return np.unique(joined, return_inverse=True)[1].astype(np.int64)


def links(photographs: pa.Table, by: Sequence[GroupKey]) -> Links:
    """Return the keys that photographs share with others of their group.

    A camera is known by the hash of its body's serial number. Without one, owner, make and model stand for a body; make
    and model alone are no key, since many people own the same model.

    Args:
        photographs: as `lightmeter.labels.datasets.photographs` gives them.
        by: the kinds of key that count.
    """
    found: Links = {}
    if "photographer" in by:
        found["owner"] = _people(photographs)
    if "camera" in by:
        found["body"] = _words(photographs, "body")
        found["camera"] = _cameras(photographs)
    if "duplicates" in by:
        found["duplicates"] = near_duplicates(photographs["phash"])
    return found


def nameless(count: int, links: Links) -> NDArray[np.bool_]:
    """Return of which photographs neither the photographer nor the camera body is known, shape (count,).

    Args:
        count: of photographs.
        links: their keys.
    """
    found = np.ones(count, dtype=bool)
    for kind in ("owner", "body", "camera"):
        if kind in links:
            found[links[kind][0]] = False
    return found


def _people(photographs: pa.Table) -> tuple[Numbers, Numbers]:
    """Return who has which owners; letters of any size and blanks around them make no other owner."""
    owners = photographs["owners"].combine_chunks()
    rows, names = pc.list_parent_indices(owners).to_numpy(), pc.list_flatten(owners).dictionary_encode()
    known: dict[str, int] = {"": -1}
    numbers = [known.setdefault(name.strip().casefold(), len(known)) for name in names.dictionary.to_pylist()]
    people = np.asarray(numbers, dtype=np.int64)[names.indices.to_numpy()]
    return rows[people >= 0], people[people >= 0]


def _words(photographs: pa.Table, column: str) -> tuple[Numbers, Numbers]:
    """Return which photographs have a word in a column, and the word's number."""
    words = photographs[column].combine_chunks()
    rows = np.flatnonzero(words.is_valid().to_numpy(zero_copy_only=False))
    return rows, words.indices.drop_null().to_numpy().astype(np.int64)


def _cameras(photographs: pa.Table) -> tuple[Numbers, Numbers]:
    rows, people = _people(photographs)
    parts = [people]
    nameless = photographs["body"].is_null().to_numpy()[rows]
    for column in ("make", "model"):
        having, words = _words(photographs, column)
        of_row = np.full(photographs.num_rows, -1, dtype=np.int64)
        of_row[having] = words
        nameless &= of_row[rows] >= 0
        parts.append(of_row[rows])
    keys = np.unique(np.stack(parts, axis=1)[nameless], axis=0, return_inverse=True)[1]
    return rows[nameless], keys.reshape(-1).astype(np.int64)
