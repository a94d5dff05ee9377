"""The executor of this machine: a pool of worker processes."""

import asyncio
from collections.abc import Callable, Iterable, Iterator
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

    def close(self) -> None:
        """Stop the processes."""
        self._pool.close()

    def run(
        self,
        function: Callable[[Item], Result],
        shards: Iterable[Shard[Item]],
        stopped: Callable[[], bool] = lambda: False,
    ) -> Iterator[tuple[Shard[Item], list[Result | Failed]]]:
        """Yield the shards in their order."""

        async def run_shard(shard: Shard[Item]) -> list[Result | Failed]:
            slots = asyncio.Semaphore(self._pool.count + 1)  # one waits for the next process

            async def run_item(item: Item) -> Result | Failed:
                async with slots:
                    if stopped():
                        return Failed(NotRun())
                    try:
                        return await self._pool.run(function, item)
                    except Exception as error:  # noqa: BLE001 - the other items go on
                        return Failed(error)

            return await asyncio.gather(*map(run_item, shard.items))

        with asyncio.Runner() as runner:
            for shard in shards:
                if stopped():
                    return
                yield shard, runner.run(run_shard(shard))
