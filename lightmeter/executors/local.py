"""The executors of this machine: a pool of worker processes, or this process alone."""

import asyncio
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from typing import Any, Protocol

from lightmeter.executors.base import Executor, Failed, Item, NotRun, Result, Shard


class Pool(Protocol):
    """Worker processes, each of which can die without harming the others.

    Attributes:
        count: Number of processes.
    """

    count: int

    async def run(self, function: Callable[..., Result], *args: Any) -> Result:
        """Run a function in a process."""
        ...

    def close(self) -> None:
        """Stop the processes."""
        ...


class LocalExecutor(Executor):
    """Runs each item in a process of a pool; the items of a shard run concurrently.

    Args:
        pool: The processes; closed with this executor.
    """

    shard_size = 200

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._runner = asyncio.Runner()  # processes belong to the loop in which they were started

    def close(self) -> None:
        """Stop the processes."""
        self._pool.close()
        self._runner.close()

    def run(
        self,
        function: Callable[[Item], Result],
        shards: Iterable[Shard[Item]],
        stopped: Callable[[], bool] = lambda: False,
    ) -> Iterator[tuple[Shard[Item], list[Result | Failed]]]:
        """Yield the shards in their order."""

        async def run_item(item: Item, slots: asyncio.Semaphore) -> Result | Failed:
            async with slots:
                if stopped():
                    return Failed(NotRun())
                try:
                    return await self._pool.run(function, item)
                except Exception as error:  # noqa: BLE001 - the other items go on
                    return Failed(error)

        async def run_shards(batch: Sequence[Shard[Item]]) -> list[Result | Failed]:
            slots = asyncio.Semaphore(self._pool.count + 1)  # one waits for the next process
            return await asyncio.gather(*(run_item(item, slots) for shard in batch for item in shard.items))

        for batch in self._batches(shards):
            if stopped():
                return
            results = iter(self._runner.run(run_shards(batch)))
            for shard in batch:
                yield shard, list(islice(results, len(shard.items)))

    def _batches(self, shards: Iterable[Shard[Item]]) -> Iterator[Sequence[Shard[Item]]]:
        """Yield shards that together have an item for each process."""
        batch: list[Shard[Item]] = []
        for shard in shards:
            batch.append(shard)
            if sum(len(item.items) for item in batch) >= self._pool.count:
                yield batch
                batch = []
        if batch:
            yield batch


class SerialExecutor(Executor):
    """Runs one item after another in this process, for functions that use all cores themselves."""

    shard_size = 1

    def run(
        self,
        function: Callable[[Item], Result],
        shards: Iterable[Shard[Item]],
        stopped: Callable[[], bool] = lambda: False,
    ) -> Iterator[tuple[Shard[Item], list[Result | Failed]]]:
        """Yield the shards in their order; an exception of the function is raised."""
        for shard in shards:
            if stopped():
                return
            yield shard, [function(item) for item in shard.items]
