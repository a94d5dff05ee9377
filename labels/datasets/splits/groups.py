"""Groups of photographs that must stay in one split: same photographer, same camera body or near-duplicates."""

from collections.abc import Sequence
from typing import Literal, get_args

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from lightmeter.images.hamming import group_by_hamming_radius
from lightmeter.labels.datasets.components import Integers, Keys, codes, connect, name_codes

GroupKey = Literal["photographer", "camera", "duplicates"]
GROUP_KEYS: tuple[GroupKey, ...] = get_args(GroupKey)


def add_groups(photographs: pa.Table, group_by: Sequence[GroupKey]) -> pa.Table:
    """Add the columns ``group`` and ``identified``.

    Photographs that share a key, directly or through others, form a group. A group is named after its smallest SHA-256.

    Args:
        photographs: Photographs in the order of their SHA-256; see `lightmeter.labels.datasets.photographs`.
        group_by: Kinds of keys.

    Returns:
        The table with ``group`` and with ``identified``: whether photographer or camera body is known.
    """
    keys = group_keys(photographs, group_by)
    groups = connect(photographs.num_rows, keys)
    first_rows = np.unique(groups, return_index=True)[1]
    names = pc.utf8_slice_codeunits(photographs["sha256"].take(pa.array(first_rows)), 0, 16).combine_chunks()
    identified = np.zeros(photographs.num_rows, dtype=bool)
    for kind in keys.keys() - {"duplicates"}:
        identified[keys[kind][0]] = True
    table = photographs.append_column("group", pa.DictionaryArray.from_arrays(pa.array(groups), names))
    return table.append_column("identified", pa.array(identified))


def group_keys(photographs: pa.Table, group_by: Sequence[str]) -> dict[str, Keys]:
    """Return the keys that photographs share with others of their group.

    The kinds are ``owner``; ``body``, the hash of the camera body's serial number; ``camera``, owner, make and model of
    photographs without such a number (make and model alone are no key: many people own the same model); and
    ``duplicates``.

    Args:
        photographs: Photographs; see `lightmeter.labels.datasets.photographs`.
        group_by: Kinds of keys, out of `GROUP_KEYS`.
    """
    keys: dict[str, Keys] = {}
    if "photographer" in group_by:
        keys["owner"] = _owners(photographs)
    if "camera" in group_by:
        body = photographs["body"]
        rows = np.flatnonzero(body.is_valid().to_numpy()).astype(np.int32)
        keys["body"] = rows, codes(body)[rows]
        keys["camera"] = _cameras(photographs)
    if "duplicates" in group_by:
        keys["duplicates"] = near_duplicates(photographs["phash"])
    return keys


def near_duplicates(hashes: pa.ChunkedArray) -> Keys:
    """Return the rows with a perceptual hash and the group of near-duplicates of each.

    Args:
        hashes: 64-bit perceptual hashes, null where a photograph has none.
    """
    rows = np.flatnonzero(hashes.is_valid().to_numpy()).astype(np.int32)
    groups = group_by_hamming_radius(hashes.drop_null().to_numpy().astype(np.uint64, copy=False))
    return rows, groups.astype(np.int32)


def _owners(photographs: pa.Table) -> Keys:
    """Return the owners of each photograph."""
    owners = photographs["owners"].combine_chunks()
    keys = name_codes(pc.list_flatten(owners))
    return pc.list_parent_indices(owners).to_numpy()[keys >= 0], keys[keys >= 0]


def _cameras(photographs: pa.Table) -> Keys:
    """Return owner, make and model of each photograph that has all three and no camera body."""
    rows, owners = _owners(photographs)
    make, model = name_codes(photographs["make"]), name_codes(photographs["model"])
    complete = photographs["body"].is_null().to_numpy()[rows] & (make[rows] >= 0) & (model[rows] >= 0)
    rows = rows[complete]
    cameras = _pairs(_pairs(owners[complete], make[rows]), model[rows])
    return rows, cameras


def _pairs(first: Integers, second: Integers) -> Integers:
    """Return a number for each pair of numbers."""
    pairs: Integers = np.unique(first * np.int64(second.max(initial=0) + 1) + second, return_inverse=True)[1]
    return pairs.reshape(-1).astype(np.int32)
