"""Compare faces, near-duplicates and splits of the same photographs as PNG, turned JPEG and turned TIFF.

    python -m benchmarks.photo_formats PHOTOGRAPHS --count 35

Each photograph is written upright as PNG, and with rotated pixels and the Orientation that turns them back as JPEG and
TIFF. A fresh project harvests and splits them. Faces are the same if each of one file lies on one of the other, with an
intersection over union above 0.5.
"""

import argparse
import json
import tempfile
from collections import defaultdict
from contextlib import redirect_stdout
from io import StringIO
from itertools import pairwise
from pathlib import Path
from typing import Any

from PIL import Image, ImageOps
from sqlalchemy import select

from lightmeter.cli import main as lightmeter
from lightmeter.harvest.catalogue.database.session import open_engine
from lightmeter.harvest.catalogue.models import Image as ImageRecord
from lightmeter.harvest.catalogue.models import Region, SightingRecord
from lightmeter.images.geometry import Box, Size, to_display
from lightmeter.labels.datasets.dataset import read_dataset
from lightmeter.project import Project

FORMATS = ("png", "jpg", "tif")
TURNED_BACK = {3: Image.Transpose.ROTATE_180, 6: Image.Transpose.ROTATE_90, 8: Image.Transpose.ROTATE_270}


def main() -> None:
    """Make the files, harvest and split them, and print what agrees."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("photographs", type=Path, help="a folder of JPEG files")
    parser.add_argument("--count", type=int, default=35)
    args = parser.parse_args()
    files = sorted(args.photographs.glob("*.jpg"))[: args.count]
    with tempfile.TemporaryDirectory() as temporary:
        folder, project = Path(temporary, "files"), Project(Path(temporary, "project"))
        for number, file in enumerate(files):
            write_versions(file, folder / ("even", "odd")[number % 2], (3, 6, 8)[number % 3])
        run("init", str(project.root))
        run("harvest", "run", "folder", str(folder), "--concepts-from-folders", "--project", str(project.root))
        run("labels", "apply", "concept", "--project", str(project.root))
        options = (
            "--target",
            "concept",
            "--min-per-class",
            "1",
            "--group",
            "duplicates",
            "--project",
            str(project.root),
        )
        run("labels", "split", "formats", *options)
        report(project, len(files))


def write_versions(file: Path, folder: Path, orientation: int) -> None:
    """Write a photograph as PNG, turned JPEG and turned TIFF."""
    folder.mkdir(parents=True, exist_ok=True)
    with Image.open(file) as image:
        upright = ImageOps.exif_transpose(image).convert("RGB")
    upright.info = {}
    upright.save(folder / f"{file.stem}.png", compress_level=1)
    exif = Image.Exif()
    exif[0x0112] = orientation
    turned = upright.transpose(TURNED_BACK[orientation])
    turned.save(folder / f"{file.stem}.jpg", quality=95, exif=exif)
    turned.save(folder / f"{file.stem}.tif", exif=exif)


def run(*args: str) -> Any:
    """Run a command and return its JSON document."""
    output = StringIO()
    with redirect_stdout(output):
        code = lightmeter([*args, "--json"])
    if code:
        raise SystemExit(output.getvalue())
    return json.loads(output.getvalue())


def report(project: Project, count: int) -> None:
    """Print for how many photographs the three files agree."""
    engine = open_engine(project)
    with engine.connect() as connection:
        query = select(SightingRecord.file, ImageRecord.sha256, ImageRecord.width, ImageRecord.height, ImageRecord.id)
        images = connection.execute(query.join(ImageRecord, ImageRecord.id == SightingRecord.image_id)).all()
        regions = connection.execute(select(Region.__table__).where(Region.kind == "face")).mappings().all()
    engine.dispose()
    rows = {row["sha256"]: row for row in read_dataset(project.datasets / "formats").rows()}
    faces: defaultdict[str, dict[str, list[Box]]] = defaultdict(dict)
    groups, splits = defaultdict[str, set[str]](set), defaultdict[str, set[str]](set)
    for name, sha256, width, height, image_id in images:
        stem, _, suffix = str(name).rpartition(".")
        size = Size(width, height)
        own = [region for region in regions if region["image_id"] == image_id]
        boxes = [to_display(Box(*(item[side] for side in Box._fields)), size, item["orientation"]) for item in own]
        faces[stem][suffix] = boxes
        groups[stem].add(rows[sha256]["group"])
        splits[stem].add(rows[sha256]["split"])
    same = sum(all(equal_faces(a[first], a[second]) for first, second in pairwise(FORMATS)) for a in faces.values())
    counts = {suffix: sum(len(versions[suffix]) for versions in faces.values()) for suffix in FORMATS}
    print(f"| {count} photographs as PNG, turned JPEG, turned TIFF | result |\n|---|---:|")
    print(f"| faces | {' / '.join(str(counts[suffix]) for suffix in FORMATS)} |")
    print(f"| the same faces in all three files | {same} |")
    print(f"| all three files in one near-duplicate group | {sum(len(names) == 1 for names in groups.values())} |")
    print(f"| near-duplicate groups | {len(set().union(*groups.values()))} |")
    print(f"| all three files in one split | {sum(len(names) == 1 for names in splits.values())} |")
    for stem, versions in sorted(faces.items()):
        if not all(equal_faces(versions[first], versions[second]) for first, second in pairwise(FORMATS)):
            print(f"differs: {stem} {versions}")


def equal_faces(first: list[Box], second: list[Box]) -> bool:
    """Return whether each face of one file lies on one of the other."""
    return len(first) == len(second) and all(any(overlap(a, b) > 0.5 for b in second) for a in first)


def overlap(first: Box, second: Box) -> float:
    """Return the intersection of two boxes divided by their union."""
    width = min(first.x + first.width, second.x + second.width) - max(first.x, second.x)
    height = min(first.y + first.height, second.y + second.height) - max(first.y, second.y)
    shared = max(0, width) * max(0, height)
    return shared / (first.width * first.height + second.width * second.height - shared)


if __name__ == "__main__":
    main()
