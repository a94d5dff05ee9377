"""Measure the speed of inspection on a single core, compared with other tools.

    python -m benchmarks.inspection [--seconds 3] [--photographs DIR]

Compares at three image sizes: Lightmeter's inspection (EXIF, borders, monochrome, quality, duplicates), the same with
faces, decoding with Pillow and with simplejpeg, pHash with ImageHash, and the checks of CleanVision. The last three
need ``pip install simplejpeg imagehash cleanvision``; missing packages are skipped. Also measures the grouping of
100,000 hashes.
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

from lightmeter.harvest.filters.perceptual_hash import group_by_hamming_radius
from lightmeter.harvest.filters.pipeline import InspectionPlan, inspect, load_filters

SIZES = {"500 px": 500, "1024 px": 1024, "12 MP": 4000}
FILTERS = ["borders", "duplicates", "monochrome", "quality"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=3.0, help="duration of each measurement (default: 3)")
    parser.add_argument("--photographs", type=Path, help="folder of files p0*.jpg (default: synthetic images)")
    options = parser.parse_args()
    cv2.setNumThreads(1)
    print(f"{'images/s on a core (CPU time)':34}" + "".join(f"{name:>12}" for name in SIZES))
    columns = [measure(photographs(side, options.photographs), options.seconds) for side in SIZES.values()]
    for name in columns[0]:
        print(f"{name:34}" + "".join(f"{column[name]:12,.1f}" for column in columns))
    lightmeter_rates, pillow_rates, cleanvision_rates = (
        [column.get(name, 0.0) for column in columns]
        for name in ("inspection", "decode only: Pillow", "CleanVision, all checks")
    )
    print(
        f"{'time relative to decode only':34}"
        + "".join(f"{d / o:12.2f}" for o, d in zip(lightmeter_rates, pillow_rates, strict=True))
    )
    if all(cleanvision_rates):
        ratios = [
            lightmeter_rate / cleanvision_rate
            for lightmeter_rate, cleanvision_rate in zip(lightmeter_rates, cleanvision_rates, strict=True)
        ]
        print(f"{'speed relative to CleanVision':34}" + "".join(f"{ratio:12.2f}" for ratio in ratios))
    print(f"\n100,000 hashes grouped within 6 bits: {grouping():.2f} s")


def photographs(side: int, folder: Path | None) -> list[bytes]:
    """Return JPEG files with a long side of ``side`` pixels, of the photographs in a folder or of synthetic images."""
    paths = sorted(folder.glob("p0*.jpg"))[:12] if folder else []
    images = [Image.open(path).convert("RGB") for path in paths] or [synthetic_image(seed) for seed in range(6)]
    files = []
    for image in images:
        file = io.BytesIO()
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


def measure(files: Sequence[bytes], seconds: float) -> dict[str, float]:
    """Return images per second of CPU time, by operation."""
    without_faces = InspectionPlan(tuple(load_filters({}, FILTERS)))
    with_faces = InspectionPlan(tuple(load_filters({}, [*FILTERS, "faces"])))
    rates = {
        "inspection": rate(partial(inspect, plan=without_faces), files, seconds),
        "inspection with faces": rate(partial(inspect, plan=with_faces), files, seconds),
        "decode only: Pillow": rate(pillow, files, seconds),
    }
    if find_spec("simplejpeg"):
        import simplejpeg

        rates["decode only: simplejpeg"] = rate(simplejpeg.decode_jpeg, files, seconds)
    if find_spec("imagehash"):
        import imagehash

        rates["pHash: ImageHash"] = rate(lambda data: imagehash.phash(Image.open(io.BytesIO(data))), files, seconds)
    if find_spec("cleanvision"):
        rates["CleanVision, all checks"] = cleanvision(files, seconds)
    return rates


def rate(operation: Callable[[bytes], object], files: Sequence[bytes], seconds: float) -> float:
    """Return the number of files per second of CPU time."""
    operation(files[0])
    number, start = 0, time.process_time()
    while time.process_time() - start < seconds:
        operation(files[number % len(files)])
        number += 1
    return number / (time.process_time() - start)


def pillow(data: bytes) -> None:
    with Image.open(io.BytesIO(data)) as image:
        image.load()


def cleanvision(files: Sequence[bytes], seconds: float) -> float:
    """Return the speed of CleanVision on a folder large enough to hide its start-up time."""
    import contextlib
    import os

    from cleanvision import Imagelab

    copies = max(1, round(seconds * 20 / len(files)))
    with tempfile.TemporaryDirectory() as folder, Path(os.devnull).open("w") as null:
        for number, data in enumerate(files * copies):
            Path(folder, f"{number}.jpg").write_bytes(data)
        with contextlib.redirect_stdout(null), contextlib.redirect_stderr(null):
            lab = Imagelab(data_path=folder)
            start = time.process_time()
            lab.find_issues(n_jobs=1)
    return len(files) * copies / (time.process_time() - start)


def grouping() -> float:
    """Return the seconds to group 100,000 hashes."""
    rng = np.random.default_rng(0)
    hashes = rng.integers(0, 2**64, 100_000, dtype=np.uint64)
    hashes[50_000:] = hashes[:50_000] ^ (np.uint64(1) << rng.integers(0, 64, 50_000).astype(np.uint64))
    start = time.perf_counter()
    group_by_hamming_radius(hashes, 6)
    return time.perf_counter() - start


if __name__ == "__main__":
    main()
