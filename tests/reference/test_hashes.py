"""Perceptual hashes against ImageHash, on random inputs."""

import imagehash
import numpy as np
import pytest
from PIL import Image, ImageFilter
from scipy.fft import dctn

from lightmeter.harvest.filters.image import DecodedImage
from lightmeter.harvest.filters.perceptual_hash import perceptual_hash
from tests.harvest.filters.images import synthetic_image


def ours(image: Image.Image) -> int:
    value = perceptual_hash(DecodedImage(image).reduced)
    assert value is not None
    return value


def theirs(image: Image.Image) -> int:
    return int(str(imagehash.phash(image)), 16)


@pytest.mark.parametrize("seed", range(10))
def test_hash_of_a_small_image_follows_the_published_definition(seed: int) -> None:
    """ImageHash weights the first row and column of the transform more, so that up to two bits near the median differ."""
    image = Image.fromarray(synthetic_image(32, 32, seed)).convert("L")
    low = dctn(np.asarray(image, dtype=float), norm="ortho")[:8, :8]
    assert ours(image) == int("".join(str(int(bit)) for bit in (low > np.median(low)).ravel()), 2)
    assert (ours(image) ^ theirs(image)).bit_count() <= 2


@pytest.mark.parametrize("seed", range(20))
def test_hashes_of_a_photograph_and_its_copies_are_as_near_as_those_of_imagehash(seed: int) -> None:
    random = np.random.default_rng(seed)
    height, width = random.integers(200, 1100, 2).tolist()
    original = Image.fromarray(synthetic_image(height, width, seed))
    copies = [
        original.resize((round(width * scale), round(height * scale)), Image.Resampling.LANCZOS)
        for scale in random.uniform(0.3, 1.2, 3)
    ]
    copies.append(original.resize((width - 1, height - 1)))
    copies.append(original.filter(ImageFilter.GaussianBlur(1)))
    assert (ours(original) ^ theirs(original)).bit_count() <= 4
    distances = [(ours(original) ^ ours(copy)).bit_count() for copy in copies]
    assert max(distances) <= 2 + max((theirs(original) ^ theirs(copy)).bit_count() for copy in copies)
    assert max(distances) <= 4
