"""The interface of executors."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Generic, Literal, Self, TypeVar

from lightmeter.errors import LightmeterError

Item = TypeVar("Item")
Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class Shard(Generic[Item]):
    """Work that is done, or repeated, as a whole.

    Attributes:
        key: Name of the shard: the same items have the same one in every run.
        items: Arguments of the function, one for each call.
    """

    key: str
    items: Sequence[Item]


@dataclass(frozen=True, slots=True)
class Failed:
    """An item that the function could not process.

    Attributes:
        error: Why.
    """

    error: Exception


class WorkerCrashed(LightmeterError):
    """A worker process died twice at an item, or was killed because it took too long."""


class NotRun(Exception):
    """An item that was not begun, because the work was stopped."""


class Executor(ABC):
    """Applies pure functions to shards. A function may be called again for the items of a shard that was lost.

    Attributes:
        shard_size: Recommended number of items in a shard.
        device: Kind of the device that networks run on: ``cpu`` or ``cuda``.
    """

    shard_size: int
    device: Literal["cpu", "cuda"] = "cpu"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:  # noqa: B027 - some have nothing to close
        """Stop what runs."""

    @abstractmethod
    def run(
        self,
        function: Callable[[Item], Result],
        shards: Iterable[Shard[Item]],
        stopped: Callable[[], bool] = lambda: False,
    ) -> Iterator[tuple[Shard[Item], list[Result | Failed]]]:
        """Yield each shard with a result for each item, in whatever order they are done.

        Shards are taken from the iterable while others run, so that it can be long.

        Args:
            function: A pure function that other processes can import.
            shards: Work to do.
            stopped: Whether to begin no further work; items that were not begun have failed with `NotRun`.
        """


def shards_of(items: Iterable[Item], size: int, key: Callable[[Item], str]) -> Iterator[Shard[Item]]:
    """Yield shards of consecutive items; each is named after its first item.

    Args:
        items: Items in an order that is the same in every run.
        size: Items in a shard.
        key: Returns the name of an item.
    """
    remaining = iter(items)
    while batch := tuple(islice(remaining, size)):
        yield Shard(key(batch[0]), batch)
