"""The process pool: output, crashes and time limits of workers."""

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable
from importlib.util import find_spec
from pathlib import Path

import psutil
import pytest

from lightmeter.executors.base import WorkerCrashed
from lightmeter.harvest.workers.pool import WorkerPool
from tests.support import wait_until


def with_pool(
    directory: Path, use: Callable[[WorkerPool], Awaitable[None]], timeout_s: float = 30, count: int = 1
) -> None:
    """Run a coroutine with a pool."""
    pool = WorkerPool(count, timeout_s, directory / "workers.log")

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


def test_processes_have_imported_the_filters(tmp_path: Path) -> None:
    async def use(pool: WorkerPool) -> None:
        assert await pool.run(is_imported, "lightmeter.harvest.filters.faces")
        assert await pool.run(is_imported, "onnxruntime") == (find_spec("onnxruntime") is not None)
        assert not await pool.run(is_imported, "scrapy")

    with_pool(tmp_path, use)


def is_imported(module: str) -> bool:
    return module in sys.modules


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
        with pytest.raises(WorkerCrashed, match="took longer than 1 s"):
            await hanging
        assert await waiting == 2

    with_pool(tmp_path, use, timeout_s=0.5)


def test_exception_of_task_is_raised(tmp_path: Path) -> None:
    async def use(pool: WorkerPool) -> None:
        with pytest.raises(FileNotFoundError):
            await pool.run(Path.read_bytes, tmp_path / "missing.jpg")

    with_pool(tmp_path, use)


def test_time_limit_begins_when_a_worker_takes_the_task(tmp_path: Path) -> None:
    async def use(pool: WorkerPool) -> None:
        await asyncio.gather(*(pool.run(time.sleep, 0.3) for _ in range(5)))

    with_pool(tmp_path, use, timeout_s=0.5)


def test_only_the_task_of_a_killed_worker_is_repeated_and_then_runs_alone(tmp_path: Path) -> None:
    log = tmp_path / "tasks"

    async def use(pool: WorkerPool) -> None:
        tasks = [pool.run(record, log, number) for number in range(8)]
        tasks.insert(3, pool.run(crash_once_and_record, tmp_path / "mark", log))
        await asyncio.gather(*tasks)

    with_pool(tmp_path, use, count=2)
    lines = log.read_text().splitlines()
    names = ["alone", *map(str, range(8))]
    assert sorted(lines) == sorted(f"{word} {name}" for word in ("begin", "end") for name in names)
    assert lines[lines.index("begin alone") + 1] == "end alone"


def record(log: Path, name: object) -> None:
    for word in ("begin", "end"):
        with log.open("a") as file:
            file.write(f"{word} {name}\n")
        time.sleep(0.05 if word == "begin" else 0)


def crash_once_and_record(mark: Path, log: Path) -> None:
    crash_once(mark)
    record(log, "alone")


def test_worker_killed_while_idle_costs_no_try(tmp_path: Path) -> None:
    async def use(pool: WorkerPool) -> None:
        for _ in range(3):
            os.kill(await pool.run(os.getpid), signal.SIGKILL)
        assert await pool.run(abs, -1) == 1

    with_pool(tmp_path, use)


def test_workers_end_with_their_parent(tmp_path: Path) -> None:
    code = f"""
import asyncio, os, time
from pathlib import Path
from lightmeter.harvest.workers.pool import WorkerPool
async def main(pool):
    print(await pool.run(os.getpid), flush=True)
    await pool.run(time.sleep, 600)
if __name__ == "__main__":
    asyncio.run(main(WorkerPool(1, 600, Path({str(tmp_path / "log")!r}))))
"""
    (tmp_path / "parent.py").write_text(code)
    with subprocess.Popen([sys.executable, tmp_path / "parent.py"], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        worker = int(process.stdout.readline())
        process.kill()
    wait_until(lambda: not psutil.pid_exists(worker))


def test_ctrl_c_does_not_reach_workers(tmp_path: Path) -> None:
    async def use(pool: WorkerPool) -> None:
        assert await pool.run(interrupt_itself) == "alive"

    with_pool(tmp_path, use)


def interrupt_itself() -> str:
    os.kill(os.getpid(), signal.SIGINT)
    time.sleep(0.01)
    return "alive"


def test_result_that_cannot_be_sent_is_an_error(tmp_path: Path) -> None:
    async def use(pool: WorkerPool) -> None:
        with pytest.raises(RuntimeError, match="cannot be sent"):
            await pool.run(compile, "0", "x", "eval")
        assert await pool.run(abs, -1) == 1

    with_pool(tmp_path, use)


def test_large_tasks_and_results_arrive(tmp_path: Path) -> None:
    async def use(pool: WorkerPool) -> None:
        contents = [bytes([number]) * 3_000_000 for number in range(5)]
        assert await asyncio.gather(*(pool.run(bytes, content) for content in contents)) == contents

    with_pool(tmp_path, use)


def test_worker_that_dies_without_reading_its_tasks_is_replaced(tmp_path: Path) -> None:
    async def use(pool: WorkerPool) -> None:
        tasks = [pool.run(crash_once, tmp_path / "mark"), *(pool.run(len, bytes(3_000_000)) for _ in range(3))]
        assert await asyncio.gather(*tasks) == ["alive", *[3_000_000] * 3]

    with_pool(tmp_path, use)
