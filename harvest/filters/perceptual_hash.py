"""Near-duplicates: a 64-bit perceptual hash, and exact grouping within a Hamming radius.

The hash is the sign pattern of a picture's lowest frequencies: the 8 × 8 lowest coefficients of the discrete cosine
transform of the picture reduced to 32 × 32, each against their median (C. Zauner, Implementation and Benchmarking of
Perceptual Image Hash Functions, 2010, chapter 3.2.1).
"""

from itertools import combinations
from typing import ClassVar

import cv2
import numpy as np
from numpy.typing import NDArray

from lightmeter.harvest.filters.base import KEEP, Filter, Measurement, Measures, Verdict
from lightmeter.harvest.filters.image import DecodedImage, Pixels, upright
from lightmeter.settings import Section

Hashes = NDArray[np.uint64]
Labels = NDArray[np.int64]

_SIDE, _FREQUENCIES = 32, 8
_BYTES = 8
MOST_RADIUS = 7


class NoSettings(Section):
    """Nothing to set."""


class PerceptualHash(Filter[NoSettings]):
    """Keeps everything: which of several near-duplicates to use is for labels to choose."""

    name: ClassVar[str] = "duplicates"
    version: ClassVar[int] = 2
    summary: ClassVar[str] = "64-bit perceptual hash, by which near-duplicates are found"
    Settings = NoSettings

    def measure(self, picture: DecodedImage) -> Measurement:
        """Return ``phash``: 16 hexadecimal digits."""
        return Measurement({"phash": f"{perceptual_hash(picture.reduced, picture.orientation):016x}"})

    def judge(self, measures: Measures, settings: NoSettings) -> Verdict:
        """Keep."""
        return KEEP


def perceptual_hash(rgb: Pixels, orientation: int = 1) -> int:
    """Return the hash of a picture as it is shown, so that a turned copy has the same.

    Args:
        rgb: (height, width, 3), reduced as far as you like.
        orientation: as in EXIF.
    """
    grey = cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY)
    small = cv2.resize(grey, (_SIDE, _SIDE), interpolation=cv2.INTER_AREA)
    shown = np.ascontiguousarray(upright(np.asarray(small), orientation), dtype=np.float32)
    low = np.asarray(cv2.dct(shown))[:_FREQUENCIES, :_FREQUENCIES]
    return int.from_bytes(np.packbits(low > np.median(low)).tobytes(), "big")


def group_by_hamming_radius(hashes: Hashes, radius: int = 4) -> Labels:
    """Group hashes that a chain of near-duplicates joins.

    Two hashes at most ``radius`` ≤ 7 bits apart agree in at least ``8 − radius`` whole bytes; so only those that share
    as many bytes, or two, are compared, and none is missed.

    Args:
        hashes: (n,).
        radius: largest Hamming distance, in bits, at which two photographs count as the same.

    Returns:
        (n,): the index of each group's first member.

    Raises:
        ValueError: if the radius is not from 0 to 7.
    """
    if not 0 <= radius <= MOST_RADIUS:
        raise ValueError(f"the radius must be from 0 to {MOST_RADIUS} bits, not {radius}")
    unique, first, place = np.unique(hashes, return_index=True, return_inverse=True)
    labels = np.arange(len(unique), dtype=np.int64)
    octets = unique.astype(">u8").view(np.uint8).reshape(-1, _BYTES).astype(np.uint16)
    for columns in combinations(range(_BYTES), min(2, _BYTES - radius)):
        key = octets[:, columns[0]] * 256 + octets[:, columns[-1]]
        labels = _join_buckets(labels, unique, np.asarray(key, dtype=np.uint16), radius)
    smallest = np.full(len(unique), len(hashes), dtype=np.int64)
    np.minimum.at(smallest, labels, first)
    return np.asarray(smallest[labels][place.reshape(-1)], dtype=np.int64)


def _join_buckets(labels: Labels, hashes: Hashes, key: NDArray[np.uint16], radius: int) -> Labels:
    """Compare each hash with those of its bucket: with the next in order of the key, the next but one, …."""
    order = np.argsort(key, kind="stable")
    key, hashes = key[order], hashes[order]
    here = np.arange(len(order))
    for distance in range(1, len(order)):
        if distance.bit_count() == 1:  # now and then: a bucket that is one group already needs no more
            here = here[_is_open(labels[order], key)[here]]
        here = here[here + distance < len(order)]
        here = here[key[here] == key[here + distance]]
        if not len(here):
            break
        near = here[np.bitwise_count(hashes[here] ^ hashes[here + distance]) <= radius]
        if len(near):
            labels = merge_components(labels, order[near], order[near + distance])
    return labels


def _is_open(labels: Labels, key: NDArray[np.uint16]) -> NDArray[np.bool_]:
    """Return for each place whether its bucket, a run of equal keys, holds more than one label."""
    starts = np.flatnonzero(np.r_[True, key[1:] != key[:-1]])
    several = np.minimum.reduceat(labels, starts) != np.maximum.reduceat(labels, starts)
    return np.asarray(several.repeat(np.diff(np.r_[starts, len(key)])))


def merge_components(labels: Labels, one: Labels, other: Labels) -> Labels:
    """Merge the groups that pairs join: each label is the smallest member of its group in the end.

    Args:
        labels: (n,): of each thing the smallest member of its group so far; changed in place.
        one: (pairs,): first things of the pairs.
        other: (pairs,): second things of the pairs.
    """
    while True:
        a, b = labels[one], labels[other]
        apart = a != b
        if not apart.any():
            return labels
        np.minimum.at(labels, np.maximum(a, b)[apart], np.minimum(a, b)[apart])
        while not np.array_equal(labels, shorter := labels[labels]):
            labels = shorter
