"""Cut tiles and views of a corpus, and halve the weights of a backbone, for ``benchmarks.fine_tuning``.

    python -m benchmarks.fine_tuning_data CORPUS OUT [--photographs 12] [--megabytes 38]

CORPUS contains ``digital/PHOTOGRAPHER/…`` and ``film/PHOTOGRAPHER/…``. OUT gets what a machine with a GPU needs, small
enough to be copied: ``photographs.zip`` with four native tiles of 128 × 128 pixels and a view of 256 × 256 pixels of at
most so many photographs of each photographer, ``labels.csv`` and ``backbone.pt``. The tiles are aligned to the blocks
of JPEG and written at a quality that keeps their noise.
"""

import argparse
import csv
import hashlib
import io
import zipfile
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

import torch
from PIL import Image

from benchmarks.corpus_tasks import TASKS, Photo, read_photos
from lightmeter.exposure import aperture_stops, iso_stops, shutter_stops
from lightmeter.models.architectures.efficientnet_lite import EfficientNetLite
from lightmeter.models.runtime.preprocess import patch_positions
from lightmeter.models.training.pretrained import load_backbone

BACKBONE, TILE, VIEW, TILES = "efficientnet-lite2", 128, 256, 4
_BLOCK = 16  # pixels of a JPEG block with subsampled colour
_TILE_QUALITY, _VIEW_QUALITY = 90, 70
COLUMNS = (
    *("name", "photographer", "medium", "aperture", "shutter", "iso", "focal-length"),
    *("shutter-extremes", "iso-extremes", "iso-100-800", "aperture-extremes"),
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("corpus", type=Path, help="folder of photographs")
    parser.add_argument("out", type=Path, help="folder to write")
    parser.add_argument("--photographs", type=int, default=12, help="photographs of each photographer (default: 12)")
    parser.add_argument("--megabytes", type=float, default=38, help="size of the folder (default: 38)")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    network = torch.nn.Module()
    network.backbone = EfficientNetLite(BACKBONE)
    load_backbone(network, f"{BACKBONE}-imagenet")
    torch.save(
        {name: tensor.half() for name, tensor in network.backbone.state_dict().items()}, options.out / "backbone.pt"
    )
    budget = options.megabytes * 1e6 - (options.out / "backbone.pt").stat().st_size
    rows = []
    with zipfile.ZipFile(options.out / "photographs.zip", "w") as archive:
        for photo in by_rounds(list(read_photos(options.corpus)), options.photographs):
            try:
                tiles, view = cut(photo.file)
            except (OSError, ValueError):
                continue
            budget -= len(tiles) + len(view) + 300  # with their entries in the archive and in the table
            if budget < 0:
                break
            row = labels(photo)
            archive.writestr(f"{row['name']}.tiles.jpg", tiles)
            archive.writestr(f"{row['name']}.view.webp", view)
            rows.append(row)
    with (options.out / "labels.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, COLUMNS, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    print(len(rows), "photographs by", len({row["photographer"] for row in rows}), "photographers")


def by_rounds(photos: Sequence[Photo], limit: int) -> list[Photo]:
    """Return a first photograph of each photographer, then a second of each, up to a limit, in a fixed random order."""
    by_photographer: dict[str, list[Photo]] = defaultdict(list)
    for photo in sorted(photos, key=lambda photo: hashlib.sha256(photo.file.name.encode()).hexdigest()):
        by_photographer[photo.photographer].append(photo)
    return [group[n] for n in range(limit) for _, group in sorted(by_photographer.items()) if n < len(group)]


def cut(file: Path) -> tuple[bytes, bytes]:
    """Return the native tiles of a photograph, two by two, as JPEG, and its view as WebP."""
    image = Image.open(file).convert("RGB")
    mosaic = Image.new("RGB", (2 * TILE, 2 * TILE))
    for index, (left, top) in enumerate(patch_positions(*image.size, TILES, TILE)):
        x, y = left - left % _BLOCK, top - top % _BLOCK
        mosaic.paste(image.crop((x, y, x + TILE, y + TILE)), (index % 2 * TILE, index // 2 * TILE))
    tiles, view = io.BytesIO(), io.BytesIO()
    mosaic.save(tiles, "JPEG", quality=_TILE_QUALITY, optimize=True)
    image.resize((VIEW, VIEW), Image.Resampling.BOX).save(view, "WEBP", quality=_VIEW_QUALITY, method=4)
    return tiles.getvalue(), view.getvalue()


def labels(photo: Photo) -> dict[str, str | float | None]:
    """Return the labels of a photograph: settings in stops, classes by name, empty if missing."""
    scales = {
        "aperture": (aperture_stops, photo.f_number),
        "shutter": (shutter_stops, photo.exposure_time_s),
        "iso": (iso_stops, photo.iso),
    }
    shutter, iso, iso_100_800, aperture, focal_length = (task.label(photo)[0] for task in TASKS[:5])
    return {
        "name": photo.file.stem,
        "photographer": photo.photographer,
        "medium": photo.medium,
        **{
            name: round(to_stops(value), 3) if value and photo.digital else None
            for name, (to_stops, value) in scales.items()
        },
        "focal-length": focal_length,
        "shutter-extremes": shutter,
        "iso-extremes": iso,
        "iso-100-800": iso_100_800,
        "aperture-extremes": aperture,
    }


if __name__ == "__main__":
    main()
