"""Groups of photographs: connected components over keys that photographs share."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from scipy.sparse import csr_array
from scipy.sparse.csgraph import connected_components

from lightmeter.text.names import name_key

Integers = NDArray[np.signedinteger[Any]]
Keys = tuple[Integers, Integers]
"""Rows and the key of each, both of shape (n,); a row may have several keys."""


def connect(count: int, keys: Mapping[str, Keys]) -> Integers:
    """Return the group of each photograph: the connected components of photographs and keys.

    Args:
        count: Number of photographs.
        keys: Keys of the photographs by kind.

    Returns:
        Group indices in the order of first appearance, shape (count,).
    """
    groups = np.arange(count, dtype=np.int32)
    for rows, keys_of_kind in keys.values():  # one kind after the other: a graph of all takes several times the memory
        values, indices = np.unique(keys_of_kind, return_inverse=True)
        n_groups = int(groups.max(initial=-1)) + 1
        n_nodes = n_groups + len(values)
        edges = groups[rows], n_groups + indices.reshape(-1).astype(np.int32)
        graph = csr_array((np.ones(len(rows), dtype=np.int8), edges), shape=(n_nodes, n_nodes))
        groups = connected_components(graph, directed=False)[1][groups]
    return groups


def name_codes(values: pa.Array | pa.ChunkedArray) -> Integers:
    """Return a number for each name, equal for names with one `name_key`, -1 for null and empty names."""
    if isinstance(values, pa.ChunkedArray):
        values = values.combine_chunks()
    encoded = values if pa.types.is_dictionary(values.type) else values.dictionary_encode()
    keys = pa.array([name_key(name) or None for name in encoded.dictionary.to_pylist()], pa.string())
    return codes(keys.take(encoded.indices))


def codes(values: pa.Array | pa.ChunkedArray) -> Integers:
    """Return the dictionary index of each value, -1 for null."""
    if isinstance(values, pa.ChunkedArray):
        values = values.combine_chunks()
    encoded = values if pa.types.is_dictionary(values.type) else values.dictionary_encode()
    return np.asarray(encoded.indices.fill_null(-1), dtype=np.int32)
