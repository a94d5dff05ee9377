"""How fast photographs are looked at, beside other tools, in one run on one core.

    python benchmarks/inspection.py [--seconds 3] [--photographs DIR]

Compared are, at three sizes: our whole inspection (EXIF, borders, monochrome, quality, duplicates), the same with
faces, a bare decode by Pillow and by simplejpeg, pHash by ImageHash, and CleanVision's checks. The last three need
``pip install simplejpeg imagehash cleanvision``; what is missing is left out. Also: grouping 100,000 hashes.
"""

import argparse
import io
import tempfile
import time
from collections.abc import Callable, Sequence
from functools import partial
from importlib.util import find_spec
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from lightmeter.harvest.filters import InspectionPlan, inspect, load_filters
from lightmeter.harvest.filters.perceptual_hash import group_by_hamming_radius

SIZES = {"500 px": 500, "1024 px": 1024, "12 MP": 4000}
FILTERS = ["borders", "duplicates", "monochrome", "quality"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=3.0, help="for each figure")
    parser.add_argument("--photographs", type=Path, help="real JPEGs, scaled to size; else drawn ones")
    options = parser.parse_args()
    cv2.setNumThreads(1)
    print(f"{'images/s on one core (CPU time)':34}" + "".join(f"{name:>12}" for name in SIZES))
    columns = [measure(photographs(side, options.photographs), options.seconds) for side in SIZES.values()]
    for name in columns[0]:
        print(f"{name:34}" + "".join(f"{column[name]:12,.1f}" for column in columns))
    ours, bare, other = (
        columns_of(columns, name) for name in ("inspection", "bare decode: Pillow", "CleanVision, all checks")
    )
    print(f"{'time of the bare decode, times':34}" + "".join(f"{b / o:12.2f}" for o, b in zip(ours, bare, strict=True)))
    if all(other):
        print(
            f"{'speed of CleanVision, times':34}" + "".join(f"{o / c:12.2f}" for o, c in zip(ours, other, strict=True))
        )
    print(f"\n100,000 hashes grouped within 6 bits: {grouping():.2f} s")


def columns_of(columns: Sequence[dict[str, float]], name: str) -> list[float]:
    return [column.get(name, 0.0) for column in columns]


def photographs(side: int, folder: Path | None) -> list[bytes]:
    """Return JPEGs whose longer side has so many pixels."""
    found = sorted(folder.glob("p0*.jpg"))[:12] if folder else []
    images = [Image.open(path).convert("RGB") for path in found] or [drawn(seed) for seed in range(6)]
    files = []
    for image in images:
        file = io.BytesIO()
        size = (
            (side, round(side * image.height / image.width))
            if image.width > image.height
            else (round(side * image.width / image.height), side)
        )
        image.resize(size).save(file, "JPEG", quality=88)
        files.append(file.getvalue())
    return files


def drawn(seed: int) -> Image.Image:
    """Return something as busy as a photograph: noise of many sizes."""
    rng = np.random.default_rng(seed)
    layers = [
        cv2.resize(rng.random((side * 3 // 4, side, 3)) * weight, (2000, 1500), interpolation=cv2.INTER_CUBIC)
        for side, weight in ((8, 120), (60, 60), (500, 40), (2000, 30))
    ]
    return Image.fromarray(np.clip(sum(layers), 0, 255).astype(np.uint8))


def measure(files: Sequence[bytes], seconds: float) -> dict[str, float]:
    """Return images per second of CPU time, by what is done to them."""
    plain = InspectionPlan(tuple(load_filters({}, FILTERS)))
    whole = InspectionPlan(tuple(load_filters({}, [*FILTERS, "faces"])))
    figures = {
        "inspection": rate(partial(inspect, plan=plain), files, seconds),
        "inspection with faces": rate(partial(inspect, plan=whole), files, seconds),
        "bare decode: Pillow": rate(pillow, files, seconds),
    }
    if find_spec("simplejpeg"):
        import simplejpeg

        figures["bare decode: simplejpeg"] = rate(simplejpeg.decode_jpeg, files, seconds)
    if find_spec("imagehash"):
        import imagehash

        figures["pHash: ImageHash"] = rate(lambda data: imagehash.phash(Image.open(io.BytesIO(data))), files, seconds)
    if find_spec("cleanvision"):
        figures["CleanVision, all checks"] = cleanvision(files, seconds)
    return figures


def rate(work: Callable[[bytes], object], files: Sequence[bytes], seconds: float) -> float:
    work(files[0])
    number, start = 0, time.process_time()
    while time.process_time() - start < seconds:
        work(files[number % len(files)])
        number += 1
    return number / (time.process_time() - start)


def pillow(data: bytes) -> None:
    with Image.open(io.BytesIO(data)) as image:
        image.load()


def cleanvision(files: Sequence[bytes], seconds: float) -> float:
    """Return its speed over a folder that is large enough for its start not to count."""
    import contextlib
    import os

    from cleanvision import Imagelab

    copies = max(1, round(seconds * 20 / len(files)))
    with tempfile.TemporaryDirectory() as folder, Path(os.devnull).open("w") as nowhere:
        for number, data in enumerate(files * copies):
            Path(folder, f"{number}.jpg").write_bytes(data)
        with contextlib.redirect_stdout(nowhere), contextlib.redirect_stderr(nowhere):
            lab = Imagelab(data_path=folder)
            start = time.process_time()
            lab.find_issues(n_jobs=1)
    return len(files) * copies / (time.process_time() - start)


def grouping() -> float:
    rng = np.random.default_rng(0)
    hashes = rng.integers(0, 2**64, 100_000, dtype=np.uint64)
    hashes[50_000:] = hashes[:50_000] ^ (np.uint64(1) << rng.integers(0, 64, 50_000).astype(np.uint64))
    start = time.perf_counter()
    group_by_hamming_radius(hashes, 6)
    return time.perf_counter() - start


if __name__ == "__main__":
    main()
