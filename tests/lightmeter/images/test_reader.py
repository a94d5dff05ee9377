"""Opening photographs of every mode, format and orientation."""

import io
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageCms

from lightmeter.images.geometry import ORIENTATION_TAG, upright
from lightmeter.images.reader import decoding_bytes, display_image, open_image, pixel_orientation, to_eight_bit
from tests.support import encode_image

GREY = (np.add.outer(np.linspace(0, 160, 64), np.linspace(0, 95, 96))).round().astype(np.uint8)
FORMATS = ["JPEG", "PNG", "WEBP", "TIFF", "AVIF", "HEIF"]


def wide_images() -> dict[str, Image.Image]:
    """Return the same picture with 1 channel of more than eight bits, by what its numbers mean."""
    numbers = GREY.astype(np.float64)
    holes = np.where(GREY == 0, np.nan, numbers / 255)
    return {
        "16 bits": Image.fromarray((numbers * 257).astype(np.uint16)),
        "8 bits in 32": Image.fromarray(numbers.astype(np.int32)),
        "16 bits in 32": Image.fromarray((numbers * 257).astype(np.int32)),
        "24 bits in 32": Image.fromarray((numbers * 65_793).astype(np.int32)),
        "signed": Image.fromarray((numbers * 257 - 32_768).astype(np.int32)),
        "0 to 1": Image.fromarray((numbers / 255).astype(np.float32)),
        "0 to 1 with overshoot": Image.fromarray((numbers / 250 - 0.01).astype(np.float32)),
        "0 to 255": Image.fromarray(numbers.astype(np.float32)),
        "0 to 65535": Image.fromarray((numbers * 257).astype(np.float32)),
        "0 to 5": Image.fromarray((numbers / 51).astype(np.float32)),
        "-1 to 1": Image.fromarray((numbers / 127.5 - 1).astype(np.float32)),
        "NaN": Image.fromarray(holes.astype(np.float32)),
    }


@pytest.mark.parametrize("kind", wide_images())
def test_more_than_eight_bits_become_the_same_picture(kind: str) -> None:
    with open_image(encode_image(wide_images()[kind], "TIFF")) as image:
        result = to_eight_bit(image)
    assert result.mode == "L"
    assert np.abs(np.asarray(result).astype(int) - GREY).max() <= (8 if "overshoot" in kind else 1)


def test_tiff_states_whether_zero_is_white() -> None:
    tiff = io.BytesIO()
    Image.fromarray(GREY.astype(np.uint16) * 257).save(tiff, "TIFF", tiffinfo={262: 0})
    assert np.array_equal(np.asarray(to_eight_bit(Image.open(tiff))), 255 - GREY)


def test_unsigned_numbers_of_32_bits() -> None:
    signed = encode_image(Image.fromarray((GREY.astype(np.uint32) * 16_843_009).view(np.int32)), "TIFF")
    sample_format = (339).to_bytes(2, "little") + b"\3\0\1\0\0\0"
    unsigned = signed.replace(sample_format + b"\2", sample_format + b"\1")
    assert unsigned != signed
    assert np.abs(np.asarray(to_eight_bit(open_image(unsigned))).astype(int) - GREY).max() <= 1


@pytest.mark.parametrize("value", [0.0, np.nan, np.inf, -3.0])
def test_flat_picture_of_any_number_is_read(value: float) -> None:
    image = Image.fromarray(np.full((4, 4), value, np.float32))
    assert np.unique(np.asarray(to_eight_bit(image))).size == 1


@pytest.mark.parametrize(
    "mode", ["1", "L", "LA", "La", "P", "PA", "RGB", "RGBA", "RGBX", "RGBa", "CMYK", "YCbCr", "HSV"]
)
def test_every_mode_is_read(mode: str) -> None:
    colours = Image.merge("RGB", [Image.fromarray(np.roll(GREY, 9 * step, axis=1)) for step in range(3)])
    image = colours
    for step in {"La": ("LA",), "PA": ("P",), "RGBa": ("RGBA",)}.get(mode, ()):
        image = image.convert(step)
    result = to_eight_bit(image.convert(mode))
    assert result.mode == ("L" if mode in ("1", "L", "LA", "La") else "RGB")
    reference = np.asarray(colours.convert(result.mode)).astype(float)
    assert np.corrcoef(np.asarray(result).ravel(), reference.ravel())[0, 1] > (0.4 if mode == "1" else 0.9)


def test_lab_is_converted_by_colour_management() -> None:
    colours = Image.new("RGB", (8, 8), (200, 60, 30))
    srgb, lab = ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB")
    image = ImageCms.profileToProfile(colours, srgb, lab, outputMode="LAB")
    assert image is not None
    with open_image(encode_image(image, "TIFF")) as stored:
        assert stored.mode == "LAB"
        assert np.abs(np.asarray(to_eight_bit(stored)).astype(int) - np.asarray(colours)).max() <= 3


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("file_format", FORMATS)
def test_pixels_are_turned_once(file_format: str, orientation: int) -> None:
    if file_format == "HEIF":
        pytest.importorskip("pillow_heif").register_heif_opener()
    exif = Image.Exif()
    exif[ORIENTATION_TAG] = orientation
    data = encode_image(Image.fromarray(GREY).convert("RGB"), file_format, exif=exif.tobytes(), quality=95)
    expected = upright(GREY, orientation)
    shown = display_image(data)
    assert _difference(shown, expected) < 4
    with open_image(data) as image:
        image.load()
        turned = upright(np.asarray(to_eight_bit(image).convert("L")), pixel_orientation(image, stored=orientation))
    assert _difference(Image.fromarray(turned), expected) < 4
    small = display_image(data, side=48)
    assert max(small.size) == 48
    assert (small.width > small.height) == (expected.shape[1] > expected.shape[0])


def test_orientation_of_another_reader_counts_where_pillow_finds_none() -> None:
    image = Image.new("RGB", (4, 4))
    assert pixel_orientation(image) == 1
    assert pixel_orientation(image, stored=6) == 6
    assert pixel_orientation(image, stored=99) == 1


def test_colours_are_shown_in_srgb() -> None:
    profile = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    entries = {bytes(profile[start : start + 4]): start for start in range(132, 132 + 12 * profile[131], 12)}
    red, blue = (entries[name] for name in (b"rXYZ", b"bXYZ"))
    profile[red : red + 4], profile[blue : blue + 4] = b"bXYZ", b"rXYZ"  # what is stored as red is blue
    stored = Image.new("RGB", (32, 32), (220, 30, 30))
    colour = display_image(encode_image(stored, "PNG", icc_profile=bytes(profile))).getpixel((9, 9))
    assert isinstance(colour, tuple)
    assert colour[2] > 150 > colour[0]
    damaged = encode_image(stored, "PNG", icc_profile=b"no profile")
    assert display_image(damaged).getpixel((9, 9)) == (220, 30, 30)


def _difference(image: Image.Image, expected: NDArray[np.uint8]) -> float:
    assert image.size == expected.shape[::-1]
    return float(np.abs(np.asarray(image.convert("L")).astype(int) - expected).mean())


@pytest.mark.parametrize(
    ("kind", "mode", "options", "bytes_per_pixel"),
    [
        ("JPEG", "RGB", {}, 4), ("JPEG", "L", {}, 1), ("JPEG", "CMYK", {}, 8), ("JPEG", "RGB", {"progressive": True}, 7),
        ("JPEG", "RGB", {"progressive": True, "subsampling": 0}, 10), ("PNG", "RGBA", {}, 8), ("PNG", "P", {}, 9),
        ("JPEG2000", "RGB", {}, 19), ("JPEG2000", "L", {}, 6), ("WEBP", "RGB", {}, 16), ("TIFF", "F", {}, 14),
    ],
)  # fmt: skip
def test_memory_of_decoding_follows_from_format_and_mode(
    kind: str, mode: str, options: dict[str, Any], bytes_per_pixel: int
) -> None:
    data = encode_image(Image.new("RGB", (64, 48)).convert(mode), kind, **options)
    with open_image(data) as image:
        assert decoding_bytes(image) == 64 * 48 * bytes_per_pixel
