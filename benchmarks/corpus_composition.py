"""Describe the photographers of development and lock-box: what may make one harder than the other.

    python -m benchmarks.corpus_composition CORPUS [--out docs/results/composition.csv]

CORPUS contains ``development/`` and ``lockbox/``, as ``benchmarks.gather`` writes them. Digital photographs with
settings are described; each photographer counts once. Intervals are over photographers.
"""

import argparse
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.corpus import write_rows
from benchmarks.corpus_tasks import Photo, read_photos
from benchmarks.corpus_trials import RESIZED
from lightmeter.bootstrap import Scale, group_intervals
from lightmeter.exposure import iso_stops

_HIGH_ISO, _GOOD_QUALITY = 800, 90


def _is_edited(photo: Photo) -> bool:
    return any(name in photo.software.lower() for name in ("lightroom", "photoshop", "gimp", "picasa", "camera raw"))


PROPERTIES: Mapping[str, tuple[Scale, Callable[[Sequence[Photo]], Any]]] = {
    f"share of at most {RESIZED:,} pixels": (
        "proportion",
        lambda photos: np.mean([max(photo.size) <= RESIZED for photo in photos]),
    ),
    "longer side, pixels": ("amount", lambda photos: np.mean([max(photo.size) for photo in photos])),
    "JPEG quality": ("amount", lambda photos: np.mean([photo.quality for photo in photos])),
    f"share of JPEG quality below {_GOOD_QUALITY}": (
        "proportion",
        lambda photos: np.mean([photo.quality < _GOOD_QUALITY for photo in photos]),
    ),
    "share saved by an editor": ("proportion", lambda photos: np.mean([_is_edited(photo) for photo in photos])),
    "share of phones": ("proportion", lambda photos: np.mean([photo.phone for photo in photos])),
    "share of photographers with several bodies": (
        "proportion",
        lambda photos: float(len({photo.model for photo in photos}) > 1),
    ),
    f"share of ISO {_HIGH_ISO} and more": (
        "proportion",
        lambda photos: np.mean([(photo.iso or 0) >= _HIGH_ISO for photo in photos]),
    ),
    "deviation of ISO within a photographer, stops": (
        "amount",
        lambda photos: np.std([iso_stops(photo.iso or 0) for photo in photos]),
    ),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("corpus", type=Path, help="folder of development and lock-box")
    parser.add_argument("--out", type=Path, default=Path("docs/results/composition.csv"), help="CSV file of results")
    options = parser.parse_args()
    rows: list[dict[str, Any]] = []
    for split in ("development", "lockbox"):
        by_photographer: dict[str, list[Photo]] = defaultdict(list)
        for photo in read_photos(options.corpus / split):
            if photo.digital and photo.f_number and photo.exposure_time_s and photo.iso:
                by_photographer[photo.photographer].append(photo)
        for name, (scale, describe) in PROPERTIES.items():
            values = np.asarray([describe(photos) for photos in by_photographer.values()])
            estimate = mean_of(values, scale)
            rows.append({"where": split, "property": name, "photographers": len(values), **estimate})
            print(*rows[-1].values(), sep=", ")
    write_rows(options.out, rows)


def mean_of(values: np.ndarray, scale: Scale) -> Mapping[str, Any]:
    """Return the mean over photographers with its interval."""
    return group_intervals(
        lambda weights: {"mean": weights @ values / weights.sum(-1)}, np.ones(len(values)), {"mean": scale}
    )["mean"]


if __name__ == "__main__":
    main()
