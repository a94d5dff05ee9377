"""Preprocessing: patches, view, crops and unusable files."""

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from lightmeter.images.geometry import Box
from lightmeter.models.runtime.preprocess import InvalidPhoto, patch_positions, preprocess
from lightmeter.models.runtime.spec import Preprocessing
from tests.models.conftest import jpeg
from tests.support import encode_image


def test_patches_have_native_resolution() -> None:
    data = jpeg(noisy=True, seed=3)
    photo = preprocess(data, Preprocessing(patches=4, patch_size=32))
    assert (photo.width, photo.height) == (160, 120)
    pixels = np.asarray(Image.open(io.BytesIO(data)))
    for patch, (left, top) in zip(photo.inputs["patches"], patch_positions(160, 120, 4, 32), strict=True):
        assert np.array_equal(patch.transpose(1, 2, 0), pixels[top : top + 32, left : left + 32])


def test_fewer_patches_are_the_beginning_of_more() -> None:
    assert patch_positions(640, 480, 3, 128) == patch_positions(640, 480, 8, 128)[:3]
    assert patch_positions(128, 128, 2, 128) == [(0, 0), (0, 0)]


def test_photo_may_be_bytes_path_or_pillow_image(tmp_path: Path) -> None:
    file = tmp_path / "photo.jpg"
    file.write_bytes(jpeg(noisy=True, seed=3, exif=True))
    settings = Preprocessing(patches=2, patch_size=32, view_size=32, exif=("iso",))
    first, *others = (preprocess(photo, settings) for photo in (file.read_bytes(), file, str(file), Image.open(file)))
    for other in others:
        assert all(np.array_equal(values, other.inputs[name]) for name, values in first.inputs.items())


def test_small_image_is_padded_by_reflection() -> None:
    photo = preprocess(jpeg(noisy=False, seed=1, size=(40, 200)), Preprocessing(patches=1, patch_size=64))
    (patch,) = photo.inputs["patches"]
    assert np.array_equal(patch[:, :, 40:64], patch[:, :, 39:15:-1])


def test_informative_patches_are_the_smoothest_and_the_roughest() -> None:
    image = Image.open(io.BytesIO(jpeg(noisy=False, seed=2, size=(320, 240))))
    image.paste(Image.open(io.BytesIO(jpeg(noisy=True, seed=3, size=(160, 120)))), (0, 0))
    image.paste((0, 0, 0), (160, 120, 320, 240))
    settings = Preprocessing(patches=8, patch_size=32, patch_selection="informative")
    patches = preprocess(encode_image(image, "PNG"), settings).inputs["patches"].astype(np.float64)
    roughness = np.abs(np.diff(patches[:, 1], axis=2)).mean((1, 2))
    assert roughness[:4].max() < 5
    assert roughness[4:].min() > 15
    assert patches.mean((1, 2, 3)).min() >= 15


def test_coloured_patches_exclude_borders() -> None:
    framed = Image.new("RGB", (360, 320), "white")
    framed.paste(Image.open(io.BytesIO(jpeg(noisy=False, seed=2))), (100, 100))
    settings = Preprocessing(patches=64, patch_size=6, patch_selection="coloured")
    colours = preprocess(encode_image(framed, "PNG"), settings).inputs["patches"].reshape(64, 3, -1).mean(2)
    assert ((colours.max(1) - colours.min(1)) > 5).all()


def test_crop_counts_stored_pixels() -> None:
    data = jpeg(noisy=True, seed=4)
    pixels = np.asarray(Image.open(io.BytesIO(data)))
    photo = preprocess(data, Preprocessing(patches=0, view_size=64), Box(10, 20, 64, 64))
    assert (photo.width, photo.height) == (64, 64)
    assert np.array_equal(photo.inputs["view"].transpose(1, 2, 0), pixels[20:84, 10:74])


@pytest.mark.parametrize("box", [Box(150, 0, 20, 20), Box(-1, 0, 64, 64), Box(0, 0, 0, 10)])
def test_crop_outside_the_photograph_is_rejected(box: Box) -> None:
    with pytest.raises(InvalidPhoto, match="is not within 160 × 120 pixels") as caught:
        preprocess(jpeg(noisy=True, seed=4), Preprocessing(), box)
    assert caught.value.status == 422


@pytest.mark.parametrize(
    ("data", "settings", "status"),
    [
        (b"", Preprocessing(), 400),
        (b"no photograph at all", Preprocessing(), 415),
        (jpeg(noisy=True, seed=0)[:4000], Preprocessing(), 400),
        (jpeg(noisy=True, seed=0), Preprocessing(max_bytes=100), 413),
        (jpeg(noisy=True, seed=0), Preprocessing(max_pixels=100), 413),
        (jpeg(noisy=True, seed=0, size=(20, 200)), Preprocessing(), 422),
    ],
    ids=["empty", "text", "truncated", "too many bytes", "too many pixels", "too small"],
)
def test_unusable_file_has_a_status_and_a_reason(data: bytes, settings: Preprocessing, status: int) -> None:
    with pytest.raises(InvalidPhoto) as caught:
        preprocess(data, settings)
    assert caught.value.status == status
    assert caught.value.reason.endswith(".")


@pytest.mark.shared
def test_broken_files_are_rejected_and_unusual_ones_read(shared: Path) -> None:
    statuses = {}
    for file in sorted((shared / "broken").rglob("*.*")):
        if file.suffix in {".md", ".csv"}:
            continue
        try:
            inputs = preprocess(file.read_bytes(), Preprocessing(patches=2, view_size=32)).inputs
            assert inputs["patches"].shape == (2, 3, 128, 128)
            assert inputs["view"].shape == (3, 32, 32)
            statuses[f"{file.parent.name}/{file.name}"] = 200
        except InvalidPhoto as error:
            statuses[f"{file.parent.name}/{file.name}"] = error.status
    assert {statuses[f"orient/orient{number}.jpg"] for number in range(1, 9)} == {200}
    assert statuses["formats/grey16.png"] == 200
    assert statuses["size/bomb_30000x30000.png"] == 413
    assert statuses["notimage/html.jpg"] == 415
    assert statuses["size/pixel_1x1.jpg"] == 422
