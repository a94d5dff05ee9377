"""Measure the peak memory of `labels pack` on many gigabytes of photographs, for each format.

    python -m benchmarks.scale.pack_memory --gigabytes 10 --folder /tmp/pack-memory

The photographs are noise of 16 megapixels (about 14 MB each); they differ in what follows the end of the JPEG, which
the pack removes, and are made when they are read. Each format is packed by a process of its own and deleted afterwards.
"""

import argparse
import hashlib
import json
import resource
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from PIL import Image

from lightmeter.labels.datasets.dataset import read_dataset, write_dataset
from lightmeter.labels.datasets.export.export import export
from lightmeter.labels.datasets.export.formats import FORMATS
from lightmeter.labels.datasets.manifest import MANIFEST_SCHEMA
from lightmeter.labels.datasets.spec import DatasetSpec, TargetSpec
from lightmeter.store.local import LocalStore

SIZE = (4000, 4000)
CLASSES = ("a", "b")


def main() -> None:
    """Make the data set, pack it in each format, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--gigabytes", type=float, default=10)
    parser.add_argument("--folder", type=Path, required=True, help="an empty folder, deleted at the end")
    parser.add_argument("--pack", choices=list(FORMATS), help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.pack:
        print(json.dumps(pack(args.folder, args.pack)))
        return
    args.folder.mkdir(parents=True)
    try:
        count = make_dataset(args.folder, int(args.gigabytes * 1e9))
        print(f"{count} photographs\n\n| format | seconds | peak memory |\n|---|---:|---:|")
        for name in FORMATS:
            command = [
                sys.executable,
                "-m",
                "benchmarks.scale.pack_memory",
                "--folder",
                str(args.folder),
                "--pack",
                name,
            ]
            result = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout)
            print(f"| `{name}` | {result['seconds']:.0f} | {result['megabytes']:.0f} MB |", flush=True)
    finally:
        shutil.rmtree(args.folder)


class NoiseStore(LocalStore):
    """A store of photographs that differ in their last bytes only.

    Args:
        jpeg: What they have in common.
        count: Number of photographs.
    """

    def __init__(self, jpeg: Path, count: int) -> None:
        super().__init__(jpeg.parent)
        self._content = jpeg.read_bytes()
        self.numbers = {self._hash(number): number for number in range(count)}

    def read(self, sha256: str) -> bytes:
        """Return a photograph."""
        return self._content + self.numbers[sha256].to_bytes(8, "big")

    def _hash(self, number: int) -> str:
        return hashlib.sha256(self._content + number.to_bytes(8, "big")).hexdigest()


def make_dataset(folder: Path, size: int) -> int:
    """Write the data set, and return the number of photographs."""
    rows: list[dict[str, Any]] = []
    jpeg = folder / "noise.jpg"
    pixels = np.random.default_rng(0).integers(0, 255, (*SIZE, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(jpeg, quality=85)
    for sha256, number in NoiseStore(jpeg, -(-size // jpeg.stat().st_size)).numbers.items():
        row = dict.fromkeys(MANIFEST_SCHEMA.names) | {
            "sha256": sha256, "path": f"{sha256[:2]}/{sha256}", "group": f"g{number}", "licence": "CC0-1.0",
            "split": ("train", "train", "validation", "test")[number % 4], "format": "JPEG", "width": SIZE[0],
            "height": SIZE[1], "label_x": CLASSES[number % 2],
        }  # fmt: skip
        rows.append(row)
    schema = MANIFEST_SCHEMA.append(pa.field("label_x", pa.string())).append(pa.field("stops_x", pa.float64()))
    manifest = pa.Table.from_pylist(sorted(rows, key=lambda row: str(row["sha256"])), schema)
    target = TargetSpec("x", "1", CLASSES)
    write_dataset(folder / "set", DatasetSpec("set", "", "file:../store", (target,)), manifest)
    (folder / "set" / "plots").mkdir()
    (folder / "set" / "README.md").write_text("# set\n")
    (folder / "set" / "card.html").write_text("<p>set</p>\n")
    (folder / "set" / "ATTRIBUTION.csv").write_text("sha256\n")
    return len(rows)


def pack(folder: Path, format_name: str) -> dict[str, float]:
    """Pack the data set, delete the pack, and return seconds and peak memory."""
    started = time.monotonic()
    dataset = read_dataset(folder / "set")
    vars(dataset)["store"] = NoiseStore(folder / "noise.jpg", dataset.manifest.num_rows)
    result = export(dataset, folder / "pack", format_name)
    seconds = time.monotonic() - started
    shutil.rmtree(result.folder)
    return {"seconds": seconds, "megabytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024}


if __name__ == "__main__":
    main()
