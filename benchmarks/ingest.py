"""Measure the throughput of a crawl by Lightmeter and by other tools, from the same server on loopback.

    python -m benchmarks.ingest [--count 3000] [--tools FOLDER]

Lightmeter runs a complete crawl (download, hash, store, EXIF, filters, catalogue), first with all filters and then
without face detection (``later = ["faces"]``). The other tools only download files: Scrapy's FilesPipeline,
img2dataset without resizing, gallery-dl. The last two are not dependencies; --tools names the ``bin`` folder of an
environment in which they are installed. Prints photographs per second, including start and end of each program, and
ratios.
"""

import argparse
import asyncio
import contextlib
import io
import multiprocessing
import os
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import tomli_w
from PIL import Image

from lightmeter import cli

Command = Callable[[Path], list[str]]
"""Function from an output folder to the command line to run in it."""

ALL_FILTERS, WITHOUT_FACES = "lightmeter", "lightmeter, no faces"

_SIZE = (500, 375)
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


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=3000, help="number of photographs (default: 3000)")
    parser.add_argument("--tools", type=Path, help="bin folder of img2dataset and gallery-dl")
    options = parser.parse_args()
    ready: multiprocessing.Queue[int] = multiprocessing.Queue()
    server = multiprocessing.Process(target=_serve, args=(ready,), daemon=True)
    server.start()
    base_url = f"http://127.0.0.1:{ready.get()}"
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        urls = root / "urls.txt"
        urls.write_text("".join(f"{base_url}/{number}.jpg\n" for number in range(options.count)))
        rates = {
            name: options.count / _timed(command(out), out)
            for name, (out, command) in _tools(root, urls, options.tools).items()
        }
        with_exif = _count_with_exif(root / ALL_FILTERS / "catalogue.sqlite")
    server.terminate()
    print(f"{'':26}{'photographs/s':>14}{ALL_FILTERS + ' ÷ tool':>22}{WITHOUT_FACES + ' ÷ tool':>27}")
    for name, rate in rates.items():
        print(f"{name:26}{rate:14.0f}{rates[ALL_FILTERS] / rate:22.2f}{rates[WITHOUT_FACES] / rate:27.2f}")
    print(f"{with_exif} of {options.count} photographs are in the catalogue with their EXIF.")


def _tools(root: Path, urls: Path, tools: Path | None) -> dict[str, tuple[Path, Command]]:
    """Return output folder and command of each tool, by its name."""
    commands: dict[str, Command] = {
        ALL_FILTERS: partial(_lightmeter, urls, []),
        WITHOUT_FACES: partial(_lightmeter, urls, ["faces"]),
        "Scrapy FilesPipeline": partial(_files_pipeline, urls),
    }
    if tools:
        commands |= {"img2dataset": partial(_img2dataset, urls, tools), "gallery-dl": partial(_gallery_dl, urls, tools)}
    return {name: (root / name, command) for name, command in commands.items()}


def _timed(command: list[str], out: Path) -> float:
    """Run a command in a folder and return its duration in seconds."""
    out.mkdir(exist_ok=True)
    started = time.perf_counter()
    subprocess.run(command, check=True, capture_output=True, cwd=out)
    return time.perf_counter() - started


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


def _img2dataset(urls: Path, tools: Path, out: Path) -> list[str]:
    command = [str(tools / "img2dataset"), "--url_list", str(urls), "--output_folder", str(out / "out")]
    command += ["--processes_count", str(os.cpu_count()), "--thread_count", "32"]
    return [*command, "--resize_mode", "no", "--encode_format", "jpg", "--disable_all_reencoding", "True"]


def _gallery_dl(urls: Path, tools: Path, out: Path) -> list[str]:
    return [str(tools / "gallery-dl"), "--quiet", "--directory", str(out), "--input-file", str(urls)]


def _count_with_exif(catalogue: Path) -> int:
    query = "SELECT count(*) FROM exif WHERE f_number = 2.8 AND iso = 200 AND exposure_time_s = 0.008"
    with contextlib.closing(sqlite3.connect(catalogue)) as connection:
        return int(connection.execute(query).fetchone()[0])


def _serve(ready: "multiprocessing.Queue[int]") -> None:
    """Serve photographs with a different comment at the end of each, so that all files differ."""
    photographs = [_photograph(seed) for seed in range(_VARIANTS)]

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


def _photograph(seed: int) -> bytes:
    random = np.random.default_rng(seed)
    coarse = random.integers(0, 255, (15, 20, 3), dtype=np.uint8)
    pixels = np.asarray(Image.fromarray(coarse).resize(_SIZE, Image.Resampling.BICUBIC), np.int16)
    noisy = np.clip(pixels + random.normal(0, 6, pixels.shape), 0, 255).astype(np.uint8)
    tags = Image.Exif()
    tags[0x010F] = "Lightmeter"
    tags.get_ifd(0x8769).update({0x829D: 2.8, 0x829A: 0.008, 0x8827: 200})
    file = io.BytesIO()
    Image.fromarray(noisy).save(file, "JPEG", quality=88, exif=tags)
    return file.getvalue()


if __name__ == "__main__":
    main()
