"""Files without metadata: equal pixels, orientation and profile, and nothing personal anywhere."""

import io
import struct
import zlib
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageCms, PngImagePlugin

from lightmeter.images.metadata import strip_metadata
from lightmeter.images.reader import display_image, open_image, pixel_orientation
from tests.support import encode_image

MARK = b"Jane Roe"
PROFILE = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
PIXELS = np.random.default_rng(1).integers(0, 255, (24, 40, 3), dtype=np.uint8)
COLOURS = Image.fromarray(PIXELS)
XMP = b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:li>' + MARK + b"</rdf:li></x:xmpmeta>"


def exif(orientation: int) -> bytes:
    """Return EXIF with names, coordinates, MakerNote and a thumbnail."""
    tags = Image.Exif()
    tags[0x0112] = orientation
    for tag in (0x010E, 0x013B, 0x8298, 0x0131):
        tags[tag] = MARK.decode()
    tags.get_ifd(0x8769).update({0x927C: b"Nikon\0" + MARK, 0x9286: b"ASCII\0\0\0" + MARK, 0xA431: MARK.decode()})
    tags.get_ifd(0x8825).update({1: "N", 2: (52.0, 31.0, 12.0), 29: MARK.decode()})
    return tags.tobytes()


def segment(marker: int, content: bytes) -> bytes:
    return struct.pack(">BBH", 0xFF, marker, len(content) + 2) + content


def full_jpeg(orientation: int, **options: Any) -> bytes:
    """Return a JPEG with every kind of segment, also between scans, and more behind its end."""
    image = COLOURS.convert(options.pop("mode", "RGB"))
    data = encode_image(image, "JPEG", exif=exif(orientation), icc_profile=PROFILE, comment=MARK, **options)
    extra = segment(0xE0, b"JFXX\0\x13" + MARK) + segment(0xE1, b"http://ns.adobe.com/xap/1.0/\0" + XMP)
    extra += segment(0xE2, b"MPF\0" + MARK) + segment(0xED, b"Photoshop 3.0\x008BIM" + MARK) + segment(0xEF, MARK)
    scans = [position for position in range(len(data)) if data[position : position + 2] == b"\xff\xda"]
    for position in reversed(scans):
        data = data[:position] + extra + data[position:]
    return data + full_second_picture() + MARK


def full_second_picture() -> bytes:
    return encode_image(COLOURS.transpose(Image.Transpose.ROTATE_180), "JPEG", comment=MARK)


def full_png(orientation: int, mode: str = "RGB") -> bytes:
    info = PngImagePlugin.PngInfo()
    info.add_text("Author", MARK.decode())
    info.add_text("Comment", MARK.decode(), zip=True)
    info.add_itxt("XML:com.adobe.xmp", XMP.decode())
    info.add(b"tIME", b"\7\xea\x0b\x1a\0\0\0")
    info.add(b"prVt", MARK)
    image = Image.fromarray(PIXELS[:, :, 0].astype(np.uint16) * 257) if mode == "I;16" else COLOURS.convert(mode)
    data = encode_image(image, "PNG", exif=exif(orientation), pnginfo=info)
    profile = png_chunk(b"iCCP", MARK + b"\0\0" + zlib.compress(PROFILE))
    return data[:33] + profile + data[33:-12] + png_chunk(b"tEXt", b"Late\0" + MARK) + data[-12:] + MARK


def png_chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I4s", len(content), kind) + content + struct.pack(">I", zlib.crc32(kind + content))


def full_webp(orientation: int, **options: Any) -> bytes:
    data = encode_image(COLOURS, "WEBP", exif=exif(orientation), xmp=XMP, icc_profile=PROFILE, **options)
    content = data[8:] + b"PRIV" + struct.pack("<I", len(MARK)) + MARK
    return b"RIFF" + struct.pack("<I", len(content)) + content + MARK


def full_tiff(orientation: int, mode: str = "RGB", **options: Any) -> bytes:
    if mode == "F":
        image = Image.fromarray(PIXELS[:, :, 0] / np.float32(255))
    elif mode == "I;16":
        image = Image.fromarray(PIXELS[:, :, 0].astype(np.uint16) * 257)
    else:
        image = COLOURS.convert(mode)
    tags = {
        270: MARK.decode(),
        315: MARK.decode(),
        700: XMP,
        33723: MARK,
        34377: b"8BIM" + MARK,
        37724: MARK,
        65000: MARK,
    }
    second = Image.new(image.mode, (8, 8))
    second.info["description"] = MARK.decode()
    info = {"exif": exif(orientation), "tiffinfo": tags, "icc_profile": PROFILE}
    return encode_image(image, "TIFF", save_all=True, append_images=[second], **info, **options) + MARK


def full_gif(_orientation: int) -> bytes:
    frames = [COLOURS.convert("P"), COLOURS.transpose(Image.Transpose.ROTATE_180).convert("P")]
    data = encode_image(frames[0], "GIF", save_all=True, append_images=frames[1:], comment=MARK, loop=3)
    application = b"!\xff\x0bXMP DataXMP" + bytes((len(XMP),)) + XMP + b"\0"
    return data[:-1] + application + b";" + MARK


FILES: dict[str, Callable[[int], bytes]] = {
    "JPEG": full_jpeg,
    "JPEG progressive": lambda orientation: full_jpeg(orientation, progressive=True),
    "JPEG grey": lambda orientation: full_jpeg(orientation, mode="L"),
    "JPEG CMYK": lambda orientation: full_jpeg(orientation, mode="CMYK"),
    **{f"PNG {mode}": lambda value, mode=mode: full_png(value, mode) for mode in ("RGB", "RGBA", "P", "I;16", "1")},
    "WEBP": full_webp,
    "WEBP lossless": lambda orientation: full_webp(orientation, lossless=True),
    "WEBP animated": lambda orientation: full_webp(orientation, save_all=True, append_images=[COLOURS.rotate(180)]),
    **{f"TIFF {mode}": lambda value, mode=mode: full_tiff(value, mode) for mode in ("RGB", "CMYK", "P", "I;16", "F")},
    **{f"TIFF {name}": lambda value, name=name: full_tiff(value, compression=name) for name in ("tiff_lzw", "jpeg")},
    "TIFF big": lambda orientation: full_tiff(orientation, big_tiff=True),
    "GIF": full_gif,
    "AVIF": lambda value: encode_image(COLOURS, "AVIF", exif=exif(value), xmp=XMP, icc_profile=PROFILE),
    "HEIF": lambda value: encode_image(COLOURS, "HEIF", exif=exif(value), xmp=XMP, icc_profile=PROFILE),
    "JPEG2000": lambda _: encode_image(COLOURS, "JPEG2000", comment=MARK),
    "BMP": lambda _: encode_image(COLOURS, "BMP") + MARK,
    "PPM": lambda _: encode_image(COLOURS, "PPM").replace(b"P6\n", b"P6\n# " + MARK + b"\n"),
}


@pytest.mark.parametrize("orientation", [1, 6])
@pytest.mark.parametrize("kind", FILES)
def test_only_pixels_orientation_and_profile_remain(kind: str, orientation: int) -> None:
    if kind == "HEIF":
        pytest.importorskip("pillow_heif").register_heif_opener()
    data = FILES[kind](orientation)
    assert MARK in data or kind == "HEIF"
    stripped = strip_metadata(data)
    for encoding in (bytes, lambda mark: mark.decode().encode("utf-16-le"), lambda mark: mark.hex().encode()):
        assert encoding(MARK) not in stripped.data
    name, converted = kind.split(maxsplit=1)[0], stripped.format != kind.split(maxsplit=1)[0]
    assert converted == (name in ("AVIF", "HEIF", "JPEG2000", "BMP", "PPM"))
    with open_image(data) as before, open_image(stripped.data) as after:
        assert getattr(after, "n_frames", 1) == (getattr(before, "n_frames", 1) if name in ("GIF", "WEBP") else 1)
        before.load()
        after.load()
        assert (after.mode, after.size, after.tobytes()) == (before.mode, before.size, before.tobytes())
        assert pixel_orientation(after) == pixel_orientation(before)
        assert after.info.get("icc_profile") == before.info.get("icc_profile")
        assert set(dict(after.getexif())) <= {0x0112} or after.format == "TIFF"
        assert not after.getexif().get_ifd(0x8769)


def test_tiff_whose_parts_cannot_be_copied_is_converted() -> None:
    tiff = full_tiff(6)
    size = (279).to_bytes(2, "little") + b"\4\0\1\0\0\0"
    position = tiff.index(size) + len(size)
    stripped = strip_metadata(tiff[:position] + b"\xff\xff\xff\0" + tiff[position + 4 :])
    assert stripped.format == "PNG"
    assert np.array_equal(np.asarray(display_image(stripped.data)), np.asarray(display_image(tiff)))


def test_displayed_images_have_no_comment() -> None:
    shown = encode_image(display_image(full_jpeg(1)), "JPEG")
    assert MARK not in shown
    with Image.open(io.BytesIO(shown)) as image:
        assert not image.getexif()
