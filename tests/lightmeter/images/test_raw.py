"""RAW, HEIF, PNG and TIFF files that a decoder would misread or refuse."""

import struct
import zlib
from importlib.util import find_spec

import numpy as np
import pytest
from PIL import ExifTags, Image, UnidentifiedImageError

from lightmeter.harvest.filters.pipeline import InspectionPlan, inspect
from lightmeter.images.raw import full_size_preview, is_raw
from lightmeter.images.reader import open_image, pixel_orientation
from lightmeter.images.tiff import ASCII, LONG, RATIONAL, SHORT
from tests.harvest.exif import build
from tests.support import encode_image

PICTURE = np.random.default_rng(1).integers(0, 256, (200, 300, 3), dtype=np.uint8)
JPEG, PNG = encode_image(PICTURE), encode_image(PICTURE, "PNG")
BLOCK = build.tiff([(build.MAKE, ASCII, "Acme")], [(build.F_NUMBER, RATIONAL, (28, 10))])


def test_picture_of_a_raw_file_is_its_preview_of_full_size() -> None:
    data = build.raw_file(JPEG, (304, 204))
    inspected = inspect(data, InspectionPlan())
    assert (inspected.format, inspected.width, inspected.height, inspected.problem) == ("RAW", 300, 200, None)
    assert (inspected.exif.values.f_number, inspected.exif.values.orientation) == (2.8, 6)
    with open_image(data) as image:
        assert pixel_orientation(image) == image.getexif()[ExifTags.Base.Orientation] == 6


@pytest.mark.parametrize("preview", [JPEG, b"", JPEG[:100], JPEG.replace(b"\xff\xc0", b"\xff\xc3", 1)])
def test_raw_file_without_a_preview_of_full_size_fails_with_its_exif(preview: bytes) -> None:
    data = build.raw_file(preview, (3000, 2000))
    inspected = inspect(data, InspectionPlan())
    assert (inspected.format, inspected.problem, inspected.width) == ("RAW", "raw format", 0)
    assert inspected.exif.values.f_number == 2.8
    with pytest.raises(UnidentifiedImageError, match="raw format"):
        open_image(data)


@pytest.mark.parametrize(
    "header",
    [b"FUJIFILMCCD-RAW 0201", b"FOVb\0\0\2\0", b"\0MRM\0\0\0\0", b"II\x1a\0\0\0HEAPCCDR", b"\0\0\0\x18ftypcrx isom", b"IIRO\x08\0\0\0",
     b"MMOR\0\0\0\x08", b"IIU\0\x18\0\0\0", b"II*\0\x10\0\0\0CR\2\0", b"II*\0\x08\0\0\0IIIICwaR"],
)  # fmt: skip
def test_other_raw_formats_are_recognised(header: bytes) -> None:
    data = header.ljust(200, b"\0")
    assert is_raw(data)
    assert full_size_preview(data) is None
    assert inspect(data, InspectionPlan()).problem == "raw format"


def test_preview_of_a_raf_needs_the_size_of_its_sensor() -> None:
    def raf(width: int, height: int) -> bytes:
        table = struct.pack(">I4H", 1, 0x0100, 4, height, width)
        return b"FUJIFILMCCD-RAW".ljust(84, b" ") + struct.pack(">III", 96 + len(table), len(JPEG), 96) + table + JPEG

    assert full_size_preview(raf(300, 200)) == JPEG
    assert full_size_preview(raf(6000, 4000)) is None


def test_ordinary_tiff_is_not_raw() -> None:
    for mode in ("RGB", "L", "CMYK"):
        assert not is_raw(encode_image(Image.fromarray(PICTURE).convert(mode), "TIFF"))
    assert not is_raw(BLOCK)


@pytest.mark.parametrize(
    "chunk",
    [
        build.chunk(b"iTXt", b"workflow\0\1\0\0\0" + zlib.compress(b'{"a":1}' * 300_000)),
        build.chunk(b"tEXt", b"Comment\0hello").replace(b"hello", b"hellp"), build.chunk(b"zTXt", b"Comment\0\7" + zlib.compress(b"x")),
        build.chunk(b"tIME", b"1234567").replace(b"123", b"321"), build.chunk(b"iCCP", b"profile\0\0" + zlib.compress(bytes(60_000_000))),
        build.chunk(b"pHYs", b"x"), build.chunk(b"prVt", b"x").replace(b"prVtx", b"prVty"), build.chunk(b"zTXt", b"x\0\0junk"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("behind", [False, True])
def test_ancillary_chunks_do_not_make_a_png_unreadable(chunk: bytes, behind: bool) -> None:
    exif = build.chunk(b"eXIf", BLOCK)
    data = build.with_chunks(PNG, exif, chunk) if behind else build.with_chunks(PNG, exif + chunk)
    inspected = inspect(data, InspectionPlan())
    assert (inspected.problem, inspected.exif.values.f_number) == (None, 2.8)
    with open_image(data) as image:
        assert np.array_equal(np.asarray(image), PICTURE)


def test_exif_in_a_raw_profile_of_a_png_reaches_its_readers() -> None:
    profile = build.raw_profile("exif", b"Exif\0\0" + build.tiff([(build.ORIENTATION, SHORT, 6)]))
    with open_image(build.with_chunks(PNG, profile)) as image:
        assert pixel_orientation(image) == 6


def test_cut_png_with_text_is_still_refused() -> None:
    data = build.with_chunks(PNG, build.chunk(b"tEXt", b"Comment\0hello"))
    assert inspect(data[: len(data) // 2], InspectionPlan()).problem == "truncated"


def test_reasons_call_no_sound_header_damaged(monkeypatch: pytest.MonkeyPatch) -> None:
    ten_bits = [
        (256, SHORT, 8), (257, SHORT, 8), (258, SHORT, 10), (259, SHORT, 1), (262, SHORT, 1), (273, LONG, 8), (277, SHORT, 1),
        (278, SHORT, 8), (279, LONG, 80),
    ]  # fmt: skip
    inspected = inspect(
        build.tiff(ten_bits, [(build.F_NUMBER, RATIONAL, (28, 10))]).ljust(400, b"\0"), InspectionPlan()
    )
    assert (inspected.format, inspected.problem) == ("TIFF", "unsupported kind of TIFF")
    assert inspected.exif.values.f_number == 2.8
    monkeypatch.setattr("lightmeter.images.formats.find_spec", lambda _: None)
    inspected = inspect(build.heif(BLOCK), InspectionPlan())
    assert (inspected.format, inspected.problem) == ("HEIF", "HEIF: install lightmeter[heif]")
    assert inspected.exif.values.f_number == 2.8
    for data, format_name in ((b"\xff\x0a" + bytes(50), "JPEG XL"), (b"8BPS\0\1" + bytes(50), "Photoshop")):
        assert inspect(data, InspectionPlan()).problem == f"unsupported format: {format_name}"
    assert inspect(b"II*\0\x08\0\0\0" + bytes(50), InspectionPlan()).problem == "undecodable: damaged header"


@pytest.mark.skipif(not find_spec("pillow_heif"), reason="needs pillow-heif")
def test_heif_is_decoded_upright() -> None:
    with open_image(JPEG):  # registers the decoder
        pass
    data = encode_image(
        Image.fromarray(PICTURE), "HEIF", exif=b"Exif\0\0" + build.tiff([(build.ORIENTATION, SHORT, 6)])
    )
    inspected = inspect(data, InspectionPlan())
    assert (inspected.format, inspected.problem, inspected.exif.values.orientation) == ("HEIF", None, 1)
    assert (inspected.width, inspected.height) in ((300, 200), (200, 300))
