"""Measure the throughput of a crawl by Lightmeter and by other tools, from the same server on loopback.

    make bench ONLY=ingest

Lightmeter runs a complete crawl (download, hash, store, EXIF, filters, catalogue), first with all filters and then
without face detection (``later = ["faces"]``). The other tools only download files: Scrapy's FilesPipeline,
img2dataset without resizing, gallery-dl. Start and end of each program are included.
"""

import asyncio
import contextlib
import ctypes
import io
import itertools
import multiprocessing
import os
import resource
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import numpy as np
import tomli_w
from PIL import Image

from benchmarks.speed import comparators
from benchmarks.speed.measurement import Benchmark, Contender, Goal
from lightmeter import cli

Command = Callable[[Path], list[str]]
"""Function from an output folder to the command line to run in it."""

COUNT = 1500
ALL_FILTERS, WITHOUT_FACES, START = (
    "Lightmeter",
    "Lightmeter, faces later",
    "of it the start, the same with 10 photographs",
)
FEW = 10
RATE, CPU = "photographs/s", "CPU ms a photograph"

_PR_SET_CHILD_SUBREAPER = 36  # of prctl(2)
SIZE = (500, 375)
_VARIANTS = 50
_HEAD = b"HTTP/1.1 %s\r\nContent-Type: image/jpeg\r\nContent-Length: %d\r\n\r\n"

FILES_SPIDER = """
import scrapy
from scrapy.crawler import CrawlerProcess

class Files(scrapy.Spider):
    name = "files"
    async def start(self):
        for line in open({urls!r}):
            yield {{"file_urls": [line.strip()]}}

process = CrawlerProcess({{"ITEM_PIPELINES": {{"scrapy.pipelines.files.FilesPipeline": 1}}, "FILES_STORE": {out!r},
    "LOG_ENABLED": False, "CONCURRENT_REQUESTS": 32, "CONCURRENT_REQUESTS_PER_DOMAIN": 32, "CONCURRENT_ITEMS": 200}})
process.crawl(Files)
process.start()
"""


@contextlib.contextmanager
def contenders(folder: Path) -> Iterator[list[Contender]]:
    """Serve photographs on loopback; yield the programs that fetch them."""
    ready: multiprocessing.Queue[int] = multiprocessing.Queue()
    server = multiprocessing.Process(target=_serve, args=(ready,), daemon=True)
    server.start()
    _adopt_orphans()
    urls = folder / "urls.txt"
    base_url = f"http://127.0.0.1:{ready.get()}"
    urls.write_text("".join(f"{base_url}/{number}.jpg\n" for number in range(COUNT)))
    few = folder / "few.txt"
    few.write_text("".join(urls.read_text().splitlines(keepends=True)[:FEW]))
    commands: dict[str, Command] = {
        ALL_FILTERS: partial(_lightmeter, urls, []),
        WITHOUT_FACES: partial(_lightmeter, urls, ["faces"]),
        "Scrapy FilesPipeline": partial(_files_pipeline, urls),
        "img2dataset": partial(_img2dataset, urls),
        "gallery-dl": partial(_gallery_dl, urls),
    }
    folders = (folder / f"out-{number}" for number in itertools.count())
    rows = [Contender(name, partial(_measure, command, folders)) for name, command in commands.items()]
    rows.insert(2, Contender(START, lambda: {CPU: _measure(partial(_lightmeter, few, ["faces"]), folders, FEW)[CPU]}))
    yield rows
    server.terminate()


def _measure(command: Command, folders: Iterator[Path], photographs: int = COUNT) -> dict[str, float]:
    """Run a program once in a new folder; return its rate and its CPU time, with that of all its processes.

    Both are shared among all photographs, also where a program is given only a few of them.
    """
    out = next(folders)
    out.mkdir()
    arguments = command(out)
    before, started = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    process = subprocess.Popen(
        arguments, cwd=out, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, process_group=0
    )
    status, seconds = process.wait(), time.perf_counter() - started
    _wait_for_group(process.pid)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    if status:
        raise subprocess.CalledProcessError(status, arguments)
    if (out / "catalogue.sqlite").exists() and (rows := _count_with_exif(out / "catalogue.sqlite")) != photographs:
        raise RuntimeError(f"{rows} of {photographs} photographs are in the catalogue with their EXIF")
    cpu_s = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return {RATE: COUNT / seconds, CPU: 1000 * cpu_s / COUNT}


def _adopt_orphans() -> None:
    """Let processes whose parent ends become children of this one, so that their CPU time is counted."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def _wait_for_group(group: int) -> None:
    """Wait for the child processes of a process group."""
    with contextlib.suppress(ChildProcessError):
        while True:
            os.waitpid(-group, 0)


def _lightmeter(urls: Path, later: list[str], out: Path) -> list[str]:
    cli.main(["init", str(out), "--quiet"])
    settings = {
        "crawl": {"private_addresses": True, "concurrency": 32, "per_host": 32},
        "inspect": {"later": later},
    }
    (out / "lightmeter.toml").write_text(tomli_w.dumps(settings))
    return [sys.executable, "-m", "lightmeter", "harvest", "run", "urls", str(urls)]


def _files_pipeline(urls: Path, out: Path) -> list[str]:
    return [sys.executable, "-W", "ignore", "-c", FILES_SPIDER.format(urls=str(urls), out=str(out))]


def _img2dataset(urls: Path, out: Path) -> list[str]:
    command = [str(comparators.program("img2dataset")), "--url_list", str(urls), "--output_folder", str(out / "out")]
    command += ["--processes_count", str(os.cpu_count()), "--thread_count", "32"]
    return [*command, "--resize_mode", "no", "--encode_format", "jpg", "--disable_all_reencoding", "True"]


def _gallery_dl(urls: Path, out: Path) -> list[str]:
    return [str(comparators.program("gallery-dl")), "--quiet", "--directory", str(out), "--input-file", str(urls)]


def _count_with_exif(catalogue: Path) -> int:
    query = "SELECT count(*) FROM exif WHERE f_number = 2.8 AND iso = 200 AND exposure_time_s = 0.008"
    with contextlib.closing(sqlite3.connect(catalogue)) as connection:
        return int(connection.execute(query).fetchone()[0])


def _serve(ready: "multiprocessing.Queue[int]") -> None:
    """Serve photographs with a different comment at the end of each, so that all files differ."""
    photographs = [photograph(seed) for seed in range(_VARIANTS)]

    async def respond(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            while True:
                path = (await reader.readuntil(b"\r\n\r\n")).split(b" ", 2)[1]
                number = path.strip(b"/").removesuffix(b".jpg")
                body = photographs[int(number) % _VARIANTS] + number if number.isdigit() else b""
                status = b"200 OK" if body else b"404 Not Found"
                writer.write(_HEAD % (status, len(body)) + body)
                await writer.drain()
        writer.close()

    async def serve() -> None:
        server = await asyncio.start_server(respond, "127.0.0.1", 0, backlog=1024)
        ready.put(server.sockets[0].getsockname()[1])
        await server.serve_forever()

    asyncio.run(serve())


def photograph(seed: int, size: tuple[int, int] = SIZE) -> bytes:
    random = np.random.default_rng(seed)
    coarse = random.integers(0, 255, (15, 20, 3), dtype=np.uint8)
    pixels = np.asarray(Image.fromarray(coarse).resize(size, Image.Resampling.BICUBIC), np.int16)
    noisy = np.clip(pixels + random.normal(0, 6, pixels.shape), 0, 255).astype(np.uint8)
    tags = Image.Exif()
    tags[0x010F] = "Lightmeter"
    tags.get_ifd(0x8769).update({0x829D: 2.8, 0x829A: 0.008, 0x8827: 200})
    file = io.BytesIO()
    Image.fromarray(noisy).save(file, "JPEG", quality=88, exif=tags)
    return file.getvalue()


BENCHMARK = Benchmark(
    title="Ingest",
    text=f"""{COUNT:,} photographs of 500 pixels from one server on loopback. Lightmeter downloads, hashes, stores,
reads EXIF, inspects and writes the catalogue; the other programs only download. Start and end of each program are
included. CPU time includes all processes of the program.""",
    contenders=contenders,
    goals=[
        Goal("rate relative to img2dataset", WITHOUT_FACES, {RATE: 2.0}, "img2dataset"),
        Goal("rate relative to gallery-dl", WITHOUT_FACES, {RATE: 1.1}, "gallery-dl"),
        Goal("rate relative to FilesPipeline", WITHOUT_FACES, {RATE: 0.9}, "Scrapy FilesPipeline"),
        Goal("rate with faces relative to img2dataset", ALL_FILTERS, {RATE: 1.2}, "img2dataset"),
        Goal("CPU time without faces", WITHOUT_FACES, {CPU: 4.5}, at_most=True),
        Goal("CPU time with faces", ALL_FILTERS, {CPU: 8.0}, at_most=True),
    ],
    notes="""Where the time goes: the steps of a worker process (the next section); the crawling process, which takes
about what FilesPipeline takes in all; and the start of the processes, with the imports of Scrapy, SQLAlchemy and
OpenCV, which the photographs of a run share (its row in the table, for this number). Of the 2,518 function calls of
the crawling process for a photograph (counted as in [Harvest](harvest.md#speed), with 700 and 200 photographs) 415
are Scrapy's, 341 Twisted's, 208 those of the event loop, 146 Lightmeter's own, and the others functions of Python and
other packages that these call; what it does for a photograph itself is therefore a small part. Scrapy's handler on
aiohttp and the event loop uvloop together saved 5 %. Less would need another HTTP client than Scrapy's, with its own
limits, checks of addresses, proxies and retries. The rates follow from the CPU time of all processes: twice the rate
of img2dataset would leave a photograph less than what img2dataset takes, which looks at none. Several crawling
processes would share the same two cores; on more cores `harvest work` divides the hosts among processes.""",
)
