"""Measure the speed of inspection on a single core, compared with other tools.

    make bench ONLY=inspection

Compares at three image sizes: Lightmeter's inspection (EXIF, borders, monochrome, quality, duplicates), the same with
faces, faces alone, decoding with Pillow and with simplejpeg, and the checks of CleanVision, which run in an environment
of their own. Synthetic images with as much detail as photographs.
"""

import io
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import cv2
import numpy as np
import simplejpeg
from numpy.typing import NDArray
from PIL import Image

from benchmarks.speed import comparators
from benchmarks.speed.measurement import Benchmark, Contender, Goal
from lightmeter.harvest.filters.pipeline import InspectionPlan, inspect, load_filters
from lightmeter.images.hamming import group_by_hamming_radius

SIZES = {"500 px": 500, "1,024 px": 1024, "12 MP": 4000}
FILTERS = ["borders", "duplicates", "monochrome", "quality"]
SECONDS = 1.0
"""CPU time of each measurement at each size."""

_CLEANVISION_COPIES = {"500 px": 50, "1,024 px": 12, "12 MP": 1}

INSPECTION, PILLOW, CLEANVISION = "inspection without faces", "decoding with Pillow", "CleanVision, all checks"
FACES = "faces alone, ms"

CLEANVISION_PROGRAM = """
import contextlib, os, sys, time
from cleanvision import Imagelab
with open(os.devnull, "w") as null, contextlib.redirect_stdout(null), contextlib.redirect_stderr(null):
    lab = Imagelab(data_path=sys.argv[1])
    start = time.process_time()
    lab.find_issues(n_jobs=1)
    seconds = time.process_time() - start
print(seconds)
"""


@contextmanager
def contenders(folder: Path) -> Iterator[list[Contender]]:
    """Write the photographs; yield the programs that inspect or decode them."""
    cv2.setNumThreads(1)
    files = {name: photographs(side) for name, side in SIZES.items()}
    without_faces = InspectionPlan(tuple(load_filters({}, FILTERS)))
    with_faces = InspectionPlan(tuple(load_filters({}, [*FILTERS, "faces"])))
    operations: dict[str, Callable[[bytes], object]] = {
        INSPECTION: partial(inspect, plan=without_faces),
        "inspection with faces": partial(inspect, plan=with_faces),
        PILLOW: pillow,
        "decoding with simplejpeg": simplejpeg.decode_jpeg,
    }
    yield [
        *(Contender(name, partial(rates, operation, files)) for name, operation in operations.items()),
        Contender(FACES, partial(faces_ms, with_faces, without_faces, files)),
        Contender(CLEANVISION, partial(cleanvision, files, folder)),
    ]


def rates(operation: Callable[[bytes], object], files: Mapping[str, Sequence[bytes]]) -> dict[str, float]:
    """Return files per second of CPU time, by size."""
    return {name: rate(operation, sized) for name, sized in files.items()}


def faces_ms(
    with_faces: InspectionPlan, without_faces: InspectionPlan, files: Mapping[str, Sequence[bytes]]
) -> dict[str, float]:
    """Return the milliseconds that faces add to an inspection, by size; both plans inspect a photograph in turn."""
    added = {}
    for name, sized in files.items():
        number, seconds, start = 0, 0.0, time.process_time()
        while time.process_time() - start < 2 * SECONDS:
            data = sized[number % len(sized)]
            seconds += cpu_time(partial(inspect, data, plan=with_faces))
            seconds -= cpu_time(partial(inspect, data, plan=without_faces))
            number += 1
        added[name] = 1000 * seconds / number
    return added


def cpu_time(operation: Callable[[], object]) -> float:
    """Return the CPU time of an operation in seconds."""
    start = time.process_time()
    operation()
    return time.process_time() - start


def photographs(side: int) -> list[bytes]:
    """Return JPEG files with a long side of ``side`` pixels."""
    files = []
    for seed in range(6):
        image, file = synthetic_image(seed), io.BytesIO()
        scale = side / max(image.size)
        image.resize((round(image.width * scale), round(image.height * scale))).save(file, "JPEG", quality=88)
        files.append(file.getvalue())
    return files


def synthetic_image(seed: int) -> Image.Image:
    """Return an image with as much detail as a photograph: noise at several scales."""
    rng = np.random.default_rng(seed)
    layers = [
        cv2.resize(rng.random((side * 3 // 4, side, 3)) * weight, (2000, 1500), interpolation=cv2.INTER_CUBIC)
        for side, weight in ((8, 120), (60, 60), (500, 40), (2000, 30))
    ]
    return Image.fromarray(np.clip(sum(layers), 0, 255).astype(np.uint8))


def rate(operation: Callable[[bytes], object], files: Sequence[bytes]) -> float:
    """Return the number of files per second of CPU time."""
    operation(files[0])
    number, start = 0, time.process_time()
    while time.process_time() - start < SECONDS:
        operation(files[number % len(files)])
        number += 1
    return number / (time.process_time() - start)


def pillow(data: bytes) -> None:
    with Image.open(io.BytesIO(data)) as image:
        image.load()


def cleanvision(files: Mapping[str, Sequence[bytes]], folder: Path) -> dict[str, float]:
    """Return the speed of CleanVision on folders large enough to hide its start-up time."""
    speeds = {}
    for name, sized in files.items():
        images = folder / f"cleanvision {name}"
        copies = _CLEANVISION_COPIES[name]
        if not images.exists():
            images.mkdir()
            for number, data in enumerate([*sized] * copies):
                (images / f"{number}.jpg").write_bytes(data)
        command = [str(comparators.program("cleanvision", "python")), "-c", CLEANVISION_PROGRAM, str(images)]
        seconds = float(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
        speeds[name] = len(sized) * copies / seconds
    return speeds


BENCHMARK = Benchmark(
    title="Inspection",
    text="""Images per second of CPU time on one core, OpenCV with one thread, synthetic images of three sizes.
Inspection reads EXIF and runs all filters except faces, unless said otherwise. "Faces alone" is the time that they add
to it.""",
    contenders=contenders,
    goals=[
        Goal(
            "speed relative to CleanVision",
            INSPECTION,
            {"500 px": 6, "1,024 px": 11, "12 MP": 12},
            CLEANVISION,
        ),
        Goal(
            "time relative to decoding with Pillow",
            PILLOW,
            {"500 px": 1.8, "1,024 px": 1.4, "12 MP": 1.3},
            INSPECTION,
            at_most=True,
        ),
        Goal("faces, ms", FACES, {"500 px": 4, "1,024 px": 4, "12 MP": 8}, at_most=True),
    ],
    notes="""The section before has the time of each step, for photographs of its own. Of the filters, quality reads
all pixels for the Laplacian and the noise. Every pixel is read at least three times, for grey, for the half-size
image and for quality; one pass for all of them would need a compiled module. Steps after others wait longer for
memory than steps by themselves.""",
)


@contextmanager
def grouping_contenders(_: Path) -> Iterator[list[Contender]]:
    """Yield the grouping of near-duplicates."""
    hashes = {f"{number:,}": random_hashes(number) for number in (10_000, 100_000)}
    yield [Contender("groups within 6 bits", partial(grouping_seconds, hashes))]


def random_hashes(number: int) -> NDArray[np.uint64]:
    """Return perceptual hashes, of which half differ in one bit from another."""
    rng = np.random.default_rng(0)
    hashes = rng.integers(0, 2**64, number, dtype=np.uint64)
    half = number // 2
    hashes[half:] = hashes[:half] ^ (np.uint64(1) << rng.integers(0, 64, half).astype(np.uint64))
    return hashes


def grouping_seconds(hashes: Mapping[str, NDArray[np.uint64]]) -> dict[str, float]:
    """Return the seconds to group hashes, by their number."""
    seconds = {}
    for name, values in hashes.items():
        start = time.perf_counter()
        group_by_hamming_radius(values, 6)
        seconds[name] = time.perf_counter() - start
    return seconds


NEAR_DUPLICATES = Benchmark(
    title="Near-duplicates",
    text="Seconds to group perceptual hashes that differ in at most 6 of 64 bits, by the number of hashes.",
    contenders=grouping_contenders,
    digits=2,
)
