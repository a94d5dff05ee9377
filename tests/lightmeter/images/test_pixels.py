"""Decoded pixels: those of Pillow, whichever decoder makes them."""

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from lightmeter.images import pixels as module
from lightmeter.images.pixels import Pixels, decode_pixels
from lightmeter.images.reader import open_image, to_eight_bit
from tests.support import encode_image

SIZES = [(64, 48), (61, 43), (17, 1), (1, 9), (8, 8), (1, 1)]


def photograph(size: tuple[int, int], mode: str = "RGB") -> Image.Image:
    small = np.random.default_rng(size[0]).integers(0, 256, (5, 7, 3), dtype=np.uint8)
    return Image.fromarray(small).resize(size, Image.Resampling.BICUBIC).convert(mode)


def of_pillow(data: bytes) -> Pixels:
    return np.asarray(to_eight_bit(Image.open(io.BytesIO(data))))


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("mode", ["RGB", "L", "CMYK"])
@pytest.mark.parametrize(
    "options",
    [{"subsampling": 0}, {"subsampling": 1}, {"subsampling": 2}, {"keep_rgb": True}, {"restart_marker_rows": 1}],
)
@pytest.mark.parametrize("progressive", [False, True])
def test_jpeg_has_the_pixels_of_pillow(
    size: tuple[int, int], mode: str, options: dict[str, int | bool], progressive: bool
) -> None:  # fmt: skip
    data = encode_image(photograph(size, mode), "JPEG", quality=80, progressive=progressive, **options)
    pixels = decode_pixels(open_image(data))
    np.testing.assert_array_equal(pixels, of_pillow(data))
    assert not pixels.flags.writeable


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "I;16"])
def test_other_files_have_the_pixels_of_pillow(mode: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_STRIP_BYTES", 500)
    image = Image.new("I;16", (61, 43), 40_000) if mode == "I;16" else photograph((61, 43), mode)
    data = encode_image(image, "PNG")
    np.testing.assert_array_equal(decode_pixels(open_image(data)), of_pillow(data))
    np.testing.assert_array_equal(decode_pixels(image), np.asarray(to_eight_bit(image)))


def test_second_frame_and_trailing_bytes_are_ignored() -> None:
    file = io.BytesIO()
    photograph((64, 48)).save(file, "MPO", save_all=True, append_images=[photograph((32, 24))])
    for data in (file.getvalue(), encode_image(photograph((64, 48)), "JPEG") + b"\xff\xd8 trailing"):
        np.testing.assert_array_equal(decode_pixels(open_image(data)), of_pillow(data))


@pytest.mark.parametrize("progressive", [False, True])
def test_damaged_jpeg_is_left_to_pillow(progressive: bool) -> None:
    data = encode_image(photograph((64, 48)), "JPEG", progressive=progressive)
    with pytest.raises(OSError, match="truncated"):
        decode_pixels(open_image(data[:-40]))
    damaged = data[:-60] + b"\x12\x34\xff\xd3\x56" + data[-55:]
    np.testing.assert_array_equal(decode_pixels(open_image(damaged)), of_pillow(damaged))


def test_jpeg_with_many_scans_is_left_to_pillow(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_MAX_SCANNED_PIXELS", 5 * 64 * 48)
    calls: list[bytes] = []
    decode_jpeg = module.simplejpeg.decode_jpeg
    monkeypatch.setattr(
        module.simplejpeg, "decode_jpeg", lambda data, space: (calls.append(data), decode_jpeg(data, space))[1]
    )
    sequential, progressive = (encode_image(photograph((64, 48)), "JPEG", progressive=item) for item in (False, True))
    for data in (sequential, progressive):
        np.testing.assert_array_equal(decode_pixels(open_image(data)), of_pillow(data))
    assert calls == [sequential]


@pytest.mark.shared
def test_real_photographs_have_the_pixels_of_pillow(shared: Path) -> None:
    files = sorted((shared / "photos").glob("*.jpg"))
    for file in files[::6]:
        data = file.read_bytes()
        np.testing.assert_array_equal(decode_pixels(open_image(data)), of_pillow(data))
