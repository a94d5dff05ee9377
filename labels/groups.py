"""Which photographs belong together: connected by a photographer, a camera body or near-identical pictures."""

from collections.abc import Iterable, Sequence
from typing import Literal, get_args

GroupKey = Literal["photographer", "camera", "duplicates"]
GROUP_KEYS: tuple[GroupKey, ...] = get_args(GroupKey)


def connect(keys_of: Iterable[Iterable[str]]) -> list[int]:
    """Return for each photograph the number of its group; whoever shares a key, directly or by way of others, is one.

    Disjoint sets with path halving (Tarjan, 1975).

    Args:
        keys_of: each photograph's keys.

    Returns:
        Group numbers, counted from 0 in the order in which groups first appear.
    """
    parent: list[int] = []
    first_with: dict[str, int] = {}
    for index, keys in enumerate(keys_of):
        parent.append(index)
        for key in keys:
            one, other = _root(parent, index), _root(parent, first_with.setdefault(key, index))
            parent[max(one, other)] = min(one, other)
    numbers: dict[int, int] = {}
    return [numbers.setdefault(_root(parent, index), len(numbers)) for index in range(len(parent))]


def _root(parent: list[int], index: int) -> int:
    while parent[index] != index:
        parent[index] = parent[parent[index]]
        index = parent[index]
    return index


def keys(
    by: Sequence[GroupKey],
    *,
    owners: Iterable[str],
    body: str | None,
    camera: tuple[str | None, str | None],
    duplicates: int | None,
) -> list[str]:
    """Return the keys that a photograph shares with others of its group.

    Args:
        by: the kinds of key that count.
        owners: everyone whom a source names as its photographer.
        body: hash of the camera body's serial number.
        camera: make and model. With an owner they stand for a body without a serial number; alone they are no group,
            since many people own the same model.
        duplicates: number of its group of near-identical pictures.
    """
    people = sorted({owner.strip().casefold() for owner in owners} - {""})
    found: list[str] = []
    if "photographer" in by:
        found += [f"owner {person}" for person in people]
    if "camera" in by and body:
        found.append(f"body {body}")
    elif "camera" in by and all(camera):
        found += [f"camera {person}\n{camera[0]}\n{camera[1]}" for person in people]
    if "duplicates" in by and duplicates is not None:
        found.append(f"duplicates {duplicates}")
    return found
