"""Mutated records: JSON documents in which strangers' programs have put something else."""

import copy
import json
import random
from typing import Any

DEEP = "@deep@"
"""Stands for arrays nested a thousand levels deep, which Python's encoder does not write."""

HOSTILE_VALUES: tuple[Any, ...] = (
    None, True, False, 0, -1, 3.5, 1e20, 10**30, float("nan"), float("inf"), "", " ", "\0", "a\0b", "\ud83d", "x" * 20_000,
    " " * 5000, "http://[broken/x.jpg", "http://h:abc/x.jpg", "http://h:99999/x.jpg", "//host/x.jpg", "file:///etc/passwd",
    "http://a:b@example.org/x.jpg", f"data:image/png;base64,{'A' * 20_000}", "9999-12-31T23:59:59-14:00",
    "0001-01-01T00:00:00+14:00", "infinity", "1,234", "\u202egpj.exe", [], {}, [None], [[]], {"a": None}, ["a", 1, None, {}],
    {"_content": {"_content": 3}}, DEEP,
)  # fmt: skip


def mutate(record: Any, rng: random.Random) -> Any:
    """Return a copy of a record with one to three mutations: a value replaced, a key or an item removed or repeated."""
    record = copy.deepcopy(record)
    for _ in range(rng.choice((1, 1, 2, 3))):
        if rng.random() < 0.02:
            return copy.deepcopy(rng.choice(HOSTILE_VALUES))
        container = rng.choice(_containers(record))
        keys = list(container) if isinstance(container, dict) else list(range(len(container)))
        if not keys:
            continue
        key = rng.choice(keys)
        match rng.randrange(6):
            case 0:
                del container[key]
            case 1 if isinstance(container, list):
                container.extend(container[:50])
            case _:
                container[key] = copy.deepcopy(rng.choice(HOSTILE_VALUES))
    return record


def as_json(value: Any, *, deep: bool = True) -> str:
    """Return JSON text, with NaN, infinity and lone surrogates as programs write them.

    Args:
        value: The document.
        deep: Whether to write nested arrays for `DEEP`.
    """
    nested = "[" * 1000 + "]" * 1000 if deep else '"deep"'
    return json.dumps(value).replace(f'"{DEEP}"', nested)


def hostile_name(rng: random.Random) -> str:
    """Return the start of a file name of any bytes that a file system allows."""
    data = bytes(rng.choice((*range(1, 47), *range(48, 256))) for _ in range(rng.randrange(1, 30)))
    return data.decode("utf-8", "surrogateescape")


def _containers(value: Any) -> list[Any]:
    containers = [value] if isinstance(value, dict | list) and value else []
    children = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    for child in children:
        containers += _containers(child)
    return containers or [[None]]
