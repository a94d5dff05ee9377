"""Ingest, side by side: the same photographs from the same loopback server, by Lightmeter and by what people use today.

    python benchmarks/ingest.py --count 1000 [--tools FOLDER]

Lightmeter does everything that it does in a crawl: bytes, hash, store, EXIF, filters, rows. The others fetch and write
files: Scrapy's FilesPipeline, img2dataset without resizing, gallery-dl. Those two are not dependencies; --tools
names the `bin` folder of an environment that has them. Prints photographs a second and ratios.
"""

import argparse
import io
import json
import multiprocessing
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
from PIL import Image

_SIZE = (500, 375)
_VARIANTS = 50

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
    parser.add_argument("--count", type=int, default=1000)
    parser.add_argument("--tools", type=Path, help="bin folder with img2dataset and gallery-dl")
    options = parser.parse_args()
    ready: multiprocessing.Queue[int] = multiprocessing.Queue()
    server = multiprocessing.Process(target=_serve, args=(ready,), daemon=True)
    server.start()
    address = f"http://127.0.0.1:{ready.get()}"
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        urls = home / "urls.txt"
        urls.write_text("".join(f"{address}/{number}.jpg\n" for number in range(options.count)))
        contestants: dict[str, Callable[[Path], None]] = {
            "lightmeter, everything": lambda out: _lightmeter(out, urls),
            "Scrapy FilesPipeline": lambda out: _files_pipeline(out, urls),
        }
        if options.tools:
            contestants["img2dataset"] = lambda out: _img2dataset(out, urls, options.tools)
            contestants["gallery-dl"] = lambda out: _gallery_dl(out, urls, options.tools)
        rates = {
            name: options.count / _timed(run, home / str(index))
            for index, (name, run) in enumerate(contestants.items())
        }
    server.terminate()
    ours = rates["lightmeter, everything"]
    print(f"{'':26}{'photographs/s':>14}{'lightmeter ÷ it':>17}")
    for name, rate in rates.items():
        print(f"{name:26}{rate:14.0f}{ours / rate:17.2f}")


def _timed(run: Callable[[Path], None], out: Path) -> float:
    out.mkdir()
    began = time.perf_counter()
    run(out)
    return time.perf_counter() - began


def _lightmeter(out: Path, urls: Path) -> None:
    words = [sys.executable, "-m", "lightmeter", "--project", str(out), "--json"]
    subprocess.run([*words, "init", str(out)], check=True, capture_output=True)
    settings = {"LIGHTMETER_CRAWL__PRIVATE_ADDRESSES": "true", "LIGHTMETER_CRAWL__CONCURRENCY": "32"}
    settings["LIGHTMETER_CRAWL__PER_HOST"] = "32"
    command = [*words, "harvest", "run", "urls", str(urls)]
    done = subprocess.run(command, check=True, capture_output=True, env=os.environ | settings)
    counts = json.loads(done.stdout)
    assert counts["fetched"] == counts["found"] == len(urls.read_text().split()), counts


def _files_pipeline(out: Path, urls: Path) -> None:
    code = FILES_SPIDER.format(urls=str(urls), out=str(out))
    subprocess.run([sys.executable, "-W", "ignore", "-c", code], check=True)


def _img2dataset(out: Path, urls: Path, tools: Path) -> None:
    words = [
        "--url_list",
        str(urls),
        "--output_folder",
        str(out / "out"),
        "--processes_count",
        "2",
        "--thread_count",
        "32",
    ]
    words += ["--resize_mode", "no", "--encode_format", "jpg", "--disable_all_reencoding", "True"]
    subprocess.run([str(tools / "img2dataset"), *words], check=True, capture_output=True)


def _gallery_dl(out: Path, urls: Path, tools: Path) -> None:
    words = ["--quiet", "--directory", str(out), "--input-file", str(urls)]
    subprocess.run([str(tools / "gallery-dl"), *words], check=True, capture_output=True)


def _serve(ready: "multiprocessing.Queue[int]") -> None:
    """Serve photographs that differ in a comment at their end, so that each has bytes of its own."""
    photographs = [_photograph(seed) for seed in range(_VARIANTS)]

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            number = self.path.strip("/").removesuffix(".jpg")
            if not number.isdigit():
                self.send_response(404)
                self.send_header("Content-Length", "0")
                self.end_headers()
                return
            body = photographs[int(number) % _VARIANTS] + number.encode()
            self.send_response(200)
            self.send_header("Content-Type", "image/jpeg")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    ready.put(server.server_port)
    server.serve_forever()


def _photograph(seed: int) -> bytes:
    random = np.random.default_rng(seed)
    coarse = random.integers(0, 255, (15, 20, 3), dtype=np.uint8)
    picture = np.asarray(Image.fromarray(coarse).resize(_SIZE, Image.Resampling.BICUBIC), np.int16)
    noisy = np.clip(picture + random.normal(0, 6, picture.shape), 0, 255).astype(np.uint8)
    tags = Image.Exif()
    tags[0x010F] = "Lightmeter"
    tags.get_ifd(0x8769).update({0x829D: 2.8, 0x829A: 0.008, 0x8827: 200})
    file = io.BytesIO()
    Image.fromarray(noisy).save(file, "JPEG", quality=88, exif=tags)
    return file.getvalue()


if __name__ == "__main__":
    main()
