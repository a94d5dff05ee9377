"""Perceptual hashes against ImageHash, on random inputs."""

import imagehash
import numpy as np
import pytest
from PIL import Image, ImageFilter
from scipy.fft import dctn

from lightmeter.harvest.filters.image import DecodedImage
from lightmeter.harvest.filters.perceptual_hash import perceptual_hash
from tests.harvest.filters.images import synthetic_image
from tests.reference.conftest import Compare


def ours(image: Image.Image) -> int:
    value = perceptual_hash(DecodedImage(image).reduced)
    assert value is not None
    return value


def theirs(image: Image.Image) -> int:
    return int(str(imagehash.phash(image)), 16)


def bits(first: int, second: int) -> int:
    return (first ^ second).bit_count()


@pytest.mark.parametrize("seed", range(10))
def test_hash_of_a_small_image_follows_the_published_definition(seed: int, compare: Compare) -> None:
    """ImageHash weights the first row and column of the transform more, so that up to two bits near the median differ."""
    image = Image.fromarray(synthetic_image(32, 32, seed)).convert("L")
    low = dctn(np.asarray(image, dtype=float), norm="ortho")[:8, :8]
    defined = int("".join(str(int(bit)) for bit in (low > np.median(low)).ravel()), 2)
    what = "perceptual hash of a drawn image of 32 px"
    compare(what, "the published definition with scipy dctn", bits(ours(image), defined), 0, within=0, unit="bits")
    compare(what, "imagehash phash", bits(ours(image), theirs(image)), 0, within=2, unit="bits")


@pytest.mark.parametrize("seed", range(20))
def test_hashes_of_a_photograph_and_its_copies_are_as_near_as_those_of_imagehash(seed: int, compare: Compare) -> None:
    random = np.random.default_rng(seed)
    height, width = random.integers(200, 1100, 2).tolist()
    original = Image.fromarray(synthetic_image(height, width, seed))
    copies = [
        original.resize((round(width * scale), round(height * scale)), Image.Resampling.LANCZOS)
        for scale in random.uniform(0.3, 1.2, 3)
    ]
    copies.append(original.resize((width - 1, height - 1)))
    copies.append(original.filter(ImageFilter.GaussianBlur(1)))
    what = "perceptual hash of a drawn image of 200 to 1,100 px"
    compare(what, "imagehash phash", bits(ours(original), theirs(original)), 0, within=4, unit="bits")
    distance = max(bits(ours(original), ours(copy)) for copy in copies)
    surplus = max(0, distance - max(bits(theirs(original), theirs(copy)) for copy in copies))
    what = "distance between a drawn image and its resized and blurred copies, beyond theirs"
    compare(what, "imagehash phash", surplus, 0, within=2, unit="bits")
    assert distance <= 4
