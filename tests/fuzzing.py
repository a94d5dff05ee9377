"""Fuzz the EXIF reader and the inspection with mutated photographs.

    python -m tests.fuzzing [--count 100000] [--seed 0]

Prints how many files had each outcome, the longest time and the peak memory. An error ends the run after printing the
file; the same seed gives the same files.
"""

import argparse
import json
import pickle
import random
import resource
import struct
import time
from collections import Counter
from collections.abc import Iterator

import numpy as np
from PIL import Image

from lightmeter.harvest.exif.reader import read_exif
from lightmeter.harvest.filters.pipeline import InspectionPlan, inspect, load_filters
from lightmeter.settings import InspectSection
from tests.support import encode_image

BOUNDARY_VALUES = (0, 1, 0x7F, 0x80, 0xFF, 0x7FFF, 0x8000, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF)
LIMITS = InspectSection(max_pixels=4_000_000, timeout_s=5.0)


def valid_files() -> list[bytes]:
    """Return a small valid file of each format, with EXIF and XMP if the format supports them."""
    pixels = np.random.default_rng(0).integers(0, 255, (48, 64, 3), dtype=np.uint8)
    image = Image.fromarray(pixels)
    tags = Image.Exif()
    tags[0x010F], tags[0x0110], tags[0x0112] = "Testmaker", "Test 1", 6
    exif = {0x829D: 2.8, 0x829A: 0.008, 0x8827: 100, 0x920A: 50.0, 0x9003: "2020:05:17 12:34:56", 0xA431: "SN-1"}
    tags.get_ifd(0x8769).update({**exif, 0x927C: bytes(range(256)), 0x9286: b"UNICODE\0a\0b\0"})
    tags.get_ifd(0x8825).update({1: "N", 2: (46.0, 30.0, 15.0)})
    xmp = (
        b"<x:xmpmeta xmlns:x='adobe:ns:meta/'><rdf:RDF xmlns:rdf='http://www.w3.org/1999/02/22-rdf-syntax-ns#'>"
        b"<rdf:Description xmlns:exif='http://ns.adobe.com/exif/1.0/' exif:FNumber='28/10'/></rdf:RDF></x:xmpmeta>"
    )
    formats = {
        "JPEG": {"exif": tags, "xmp": xmp}, "PNG": {"exif": tags}, "WEBP": {"exif": tags, "xmp": xmp},
        "TIFF": {"exif": tags}, "GIF": {}, "BMP": {}, "AVIF": {"exif": tags}, "JPEG2000": {}, "ICO": {},
    }  # fmt: skip
    files = [encode_image(image, kind, **options) for kind, options in formats.items() if kind in _writable_formats()]
    files += [encode_image(image, "JPEG", progressive=True), encode_image(image.convert("CMYK"), "JPEG")]
    files += [encode_image(image.convert("L"), "TIFF", compression="tiff_lzw"), encode_image(image.convert("P"), "PNG")]
    return files


def mutate_files(seed: int) -> Iterator[bytes]:
    """Yield mutated files without end."""
    rng = random.Random(seed)
    originals = valid_files()
    weights = [4 if data[:2] == b"\xff\xd8" else 1 for data in originals]
    while True:
        data = bytearray(rng.choices(originals, weights)[0])
        for _ in range(rng.choice((1, 1, 2, 4, 8))):
            rng.choice(MUTATIONS)(data, rng, originals)
        yield bytes(data)


def inspect_file(data: bytes, plan: InspectionPlan) -> str:
    """Read and inspect a file; return the outcome.

    Raises:
        AssertionError: The inspection took too long.
    """
    start = time.monotonic()
    record = read_exif(data, keep_all=plan.keep_all_tags)
    json.dumps(record.raw, allow_nan=False)
    inspected = inspect(data, plan)
    pickle.dumps(inspected)
    assert time.monotonic() - start < 4 * LIMITS.timeout_s
    return (inspected.problem or "valid").partition(":")[0]


def inspection_plan() -> InspectionPlan:
    """Return a plan with all built-in filters, which stores all EXIF."""
    names = ["borders", "duplicates", "faces", "monochrome", "quality"]
    return InspectionPlan(tuple(load_filters({}, names)), LIMITS, keep_all_tags=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=100_000, help="number of files (default: 100000)")
    parser.add_argument("--seed", type=int, default=0, help="seed of the mutations (default: 0)")
    options = parser.parse_args()
    plan, outcomes, slowest = inspection_plan(), Counter[str](), 0.0
    for number, data in zip(range(options.count), mutate_files(options.seed), strict=False):
        start = time.monotonic()
        try:
            outcomes[inspect_file(data, plan)] += 1
        except BaseException:
            print(f"file {number} of seed {options.seed}: {data[:60]!r}")
            raise
        slowest = max(slowest, time.monotonic() - start)
        if (number + 1) % 10_000 == 0:
            peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
            print(f"{number + 1}: {dict(outcomes)}, slowest {slowest:.2f} s, peak {peak:.0f} MB", flush=True)


def _flip_bit(data: bytearray, rng: random.Random, _: list[bytes]) -> None:
    if data:
        data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)


def _replace_header_byte(data: bytearray, rng: random.Random, _: list[bytes]) -> None:
    if data:
        data[rng.randrange(min(len(data), 700))] = rng.randrange(256)


def _replace_number(data: bytearray, rng: random.Random, _: list[bytes]) -> None:
    """Replace bytes that may be a count, an offset or a size with a boundary value."""
    position = rng.randrange(max(1, min(len(data), 1200) - 4))
    number_format = rng.choice(("<H", ">H", "<I", ">I"))
    data[position : position + struct.calcsize(number_format)] = struct.pack(
        number_format, rng.choice(BOUNDARY_VALUES) & (0xFFFF if number_format[1] == "H" else 0xFFFFFFFF)
    )


def _truncate(data: bytearray, rng: random.Random, _: list[bytes]) -> None:
    del data[rng.randrange(len(data) + 1) :]


def _remove_bytes(data: bytearray, rng: random.Random, _: list[bytes]) -> None:
    start = rng.randrange(len(data) + 1)
    del data[start : start + rng.choice((1, 2, 7, 64, 500))]


def _repeat_bytes(data: bytearray, rng: random.Random, _: list[bytes]) -> None:
    start = rng.randrange(len(data) + 1)
    part = data[start : start + rng.choice((1, 12, 100, 1000))]
    data[start:start] = part * rng.choice((1, 2, 20))


def _append_other_file(data: bytearray, rng: random.Random, originals: list[bytes]) -> None:
    """Replace the end with the end of another file."""
    other = rng.choice(originals)
    data[rng.randrange(len(data) + 1) :] = other[rng.randrange(len(other)) :]


MUTATIONS = (
    _flip_bit,
    _replace_header_byte,
    _replace_header_byte,
    _replace_number,
    _replace_number,
    _replace_number,
    _truncate,
    _remove_bytes,
    _repeat_bytes,
    _append_other_file,
)


def _writable_formats() -> set[str]:
    Image.init()
    return set(Image.SAVE)


if __name__ == "__main__":
    main()
