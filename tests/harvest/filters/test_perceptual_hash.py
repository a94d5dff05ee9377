"""The perceptual hash, and grouping by Hamming distance."""

import io

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageOps

from lightmeter.harvest.filters.image import DecodedImage
from lightmeter.harvest.filters.perceptual_hash import perceptual_hash
from lightmeter.images.hamming import group_by_hamming_radius, merge_components
from lightmeter.images.pixels import Pixels
from tests.harvest.filters.images import synthetic_image


def test_hashes_of_copies_are_near() -> None:
    original = synthetic_image()
    smaller = np.asarray(Image.fromarray(original).resize((160, 120)))
    brighter = (original * 0.8 + 30).astype(np.uint8)
    assert distance(original, smaller) <= 4
    assert distance(original, brighter) <= 4
    assert all(distance(original, synthetic_image(seed=n)) > 12 for n in range(1, 20))


def distance(first: Pixels, second: Pixels) -> int:
    """Return the Hamming distance between the hashes of two images."""
    hashes = [perceptual_hash(pixels) for pixels in (first, second)]
    assert hashes[0] is not None
    assert hashes[1] is not None
    return (hashes[0] ^ hashes[1]).bit_count()


@pytest.mark.parametrize("level", [0, 3, 128, 252, 255])
@pytest.mark.parametrize("noise", [0, 5, 20])
def test_flat_image_has_no_hash(level: int, noise: int) -> None:
    random = np.random.default_rng(level + noise)
    y, x = np.mgrid[-1:1:300j, -1:1:400j]
    vignette = 5 * (x**2 + y**2)
    pixels = np.clip(level - vignette + random.normal(0, noise, (300, 400)), 0, 255).astype(np.uint8)
    assert perceptual_hash(np.repeat(pixels[..., np.newaxis], 3, axis=2)) is None


@pytest.mark.parametrize("orientation", range(1, 9))
def test_rotated_copy_has_the_same_hash(orientation: int) -> None:
    original = Image.fromarray(synthetic_image(300, 300))
    tags = Image.Exif()
    tags[0x0112] = orientation
    file = io.BytesIO()
    original.save(file, "PNG", exif=tags)
    shown = ImageOps.exif_transpose(Image.open(io.BytesIO(file.getvalue())))
    assert perceptual_hash(np.asarray(original), orientation) == perceptual_hash(np.asarray(shown))
    assert DecodedImage(original, orientation).orientation == orientation


@given(st.lists(st.integers(0, 2**64 - 1), max_size=40), st.integers(0, 7), st.data())
@settings(max_examples=20, deadline=None)
def test_grouping_equals_comparison_of_all_pairs(hashes: list[int], radius: int, data: st.DataObject) -> None:
    for value in list(hashes[:10]):  # add near-duplicates
        flips = data.draw(st.lists(st.integers(0, 63), max_size=radius + 2))
        hashes.append(value ^ sum(1 << bit for bit in set(flips)))
    labels = list(range(len(hashes)))
    for i, value in enumerate(hashes):
        for j in range(i):
            if (value ^ hashes[j]).bit_count() <= radius:
                low, high = sorted((labels[i], labels[j]))
                labels = [low if label == high else label for label in labels]
    assert group_by_hamming_radius(np.array(hashes, dtype=np.uint64), radius).tolist() == labels


def test_large_radius_raises_error() -> None:
    with pytest.raises(ValueError, match="radius"):
        group_by_hamming_radius(np.array([1, 2], dtype=np.uint64), 8)


def test_components_are_labelled_by_their_smallest_member() -> None:
    labels = np.arange(6)

    merged = merge_components(labels, np.array([5, 3, 1]), np.array([3, 4, 0]))

    assert merged.tolist() == [0, 0, 2, 3, 3, 3]
    assert merge_components(merged, np.array([1]), np.array([5])).tolist() == [0, 0, 2, 0, 0, 0]
