"""Groups of photographs: connected components over keys that photographs share."""

from collections.abc import Mapping

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from scipy.sparse import csr_array
from scipy.sparse.csgraph import connected_components

from lightmeter.text.names import name_key

Integers = NDArray[np.int64]
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
    rows, nodes = [np.empty(0, dtype=np.int64)], [np.empty(0, dtype=np.int64)]
    n_nodes = count
    for rows_of_kind, keys_of_kind in keys.values():
        values, indices = np.unique(keys_of_kind, return_inverse=True)
        rows.append(rows_of_kind)
        nodes.append(n_nodes + indices.reshape(-1))
        n_nodes += len(values)
    edges = np.concatenate(rows), np.concatenate(nodes)
    graph = csr_array((np.ones(len(edges[0]), dtype=np.int8), edges), shape=(n_nodes, n_nodes))
    return np.asarray(connected_components(graph, directed=False)[1][:count], dtype=np.int64)


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
    return np.asarray(encoded.indices.fill_null(-1), dtype=np.int64)
