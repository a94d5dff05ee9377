"""The process pool: output, crashes and time limits of workers."""

import asyncio
import os
import signal
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from lightmeter.harvest.crawl.worker_pool import WorkerCrashed, WorkerPool


def with_pool(directory: Path, use: Callable[[WorkerPool], Awaitable[None]], timeout_s: float = 30) -> None:
    """Run a coroutine with a pool of one process."""
    pool = WorkerPool(1, timeout_s, directory / "workers.log")

    async def main() -> None:
        try:
            await use(pool)
        finally:
            pool.close()

    asyncio.run(main())


def crash() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def crash_once(mark: Path) -> str:
    if not mark.exists():
        mark.touch()
        crash()
    return "alive"


def test_worker_output_goes_to_log(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    async def use(pool: WorkerPool) -> None:
        await pool.run(os.write, 2, b"TIFFReadDirectory: Warning, unknown tag")  # as libtiff does

    with_pool(tmp_path, use)
    assert "unknown tag" in (tmp_path / "workers.log").read_text()
    assert capfd.readouterr().err == ""


def test_crashed_task_is_retried_once(tmp_path: Path) -> None:
    async def use(pool: WorkerPool) -> None:
        assert await pool.run(crash_once, tmp_path / "mark") == "alive"
        with pytest.raises(WorkerCrashed, match="died"):
            await pool.run(crash)
        assert await pool.run(abs, -1) == 1

    with_pool(tmp_path, use)


def test_hanging_worker_is_killed_and_others_continue(tmp_path: Path) -> None:
    async def use(pool: WorkerPool) -> None:
        await pool.run(abs, -1)  # the process has started
        hanging = asyncio.ensure_future(pool.run(time.sleep, 600))
        waiting = asyncio.ensure_future(pool.run(abs, -2))
        with pytest.raises(WorkerCrashed, match="in time"):
            await hanging
        assert await waiting == 2

    with_pool(tmp_path, use, timeout_s=0.5)


def test_exception_of_task_is_raised(tmp_path: Path) -> None:
    async def use(pool: WorkerPool) -> None:
        with pytest.raises(FileNotFoundError):
            await pool.run(Path.read_bytes, tmp_path / "missing.jpg")

    with_pool(tmp_path, use)
