"""EXIF that is damaged, oddly typed or in an unusual place; no data raises an error or takes long."""

import json
import struct
import time
import zlib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from lightmeter.harvest.exif.columns import ExifValues
from lightmeter.harvest.exif.reader import read_exif
from lightmeter.harvest.exif.xmp import xmp_tags
from lightmeter.images.tiff import (
    ASCII,
    BYTE,
    DOUBLE,
    FLOAT,
    LONG,
    RATIONAL,
    SHORT,
    SRATIONAL,
    UNDEFINED,
    read_directories,
)
from tests.harvest.exif import build
from tests.support import encode_image

JPEG = encode_image(Image.new("RGB", (40, 30), "teal"))
CAMERA = [(build.MAKE, ASCII, "Acme"), (build.MODEL, ASCII, "One")]
SETTINGS = [
    (build.EXPOSURE_TIME, RATIONAL, (1, 125)), (build.F_NUMBER, RATIONAL, (28, 10)), (build.ISO, SHORT, 100),
    (build.FOCAL_LENGTH, RATIONAL, (50, 1)), (build.MAKER_NOTE, UNDEFINED, bytes(500)), (build.FOCAL_LENGTH_35MM, SHORT, 75),
    (build.LENS_MODEL, ASCII, "Lens 50 mm"),
]  # fmt: skip
BLOCK = build.tiff([*CAMERA, (build.ORIENTATION, SHORT, 6)], SETTINGS)
PACKET = (
    b"<x:xmpmeta xmlns:x='adobe:ns:meta/'><rdf:RDF xmlns:rdf='http://www.w3.org/1999/02/22-rdf-syntax-ns#'>"
    b"<rdf:Description rdf:about='' xmlns:exif='http://ns.adobe.com/exif/1.0/' exif:FNumber='28/10'/></rdf:RDF></x:xmpmeta>"
)
XMP_SEGMENT = build.segment(0xE1, b"http://ns.adobe.com/xap/1.0/\0" + PACKET)


def read(data: bytes) -> ExifValues:
    return read_exif(data).values


def read_block(block: bytes) -> ExifValues:
    return read(build.with_segments(JPEG, build.exif_segment(block)))


@pytest.mark.parametrize(
    ("tag", "kind"), [(build.MAKER_NOTE, UNDEFINED), (build.DESCRIPTION, ASCII), (build.MAKE, ASCII), (build.EXPOSURE_TIME, RATIONAL)]
)  # fmt: skip
def test_a_value_outside_the_block_costs_itself_alone(tag: int, kind: int) -> None:
    block = build.tiff([(build.DESCRIPTION, ASCII, "a lake"), *CAMERA, (build.ORIENTATION, SHORT, 6)], SETTINGS)
    values = read_block(build.point_outside(block, tag, kind))
    assert (values.model, values.orientation, values.f_number) == ("One", 6, 2.8)
    assert (values.focal_length_35mm, values.lens) == (75.0, "Lens 50 mm")
    assert values.make == (None if tag == build.MAKE else "Acme")
    assert values.exposure_time_s == (None if tag == build.EXPOSURE_TIME else 0.008)


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize(
    ("tag", "kind", "value", "column", "expected"),
    [
        (build.MODEL, ASCII, b"MAVICA\0\x003ghx7y\0", "model", "MAVICA"), (build.MODEL, BYTE, list(b"One\0x"), "model", "One"),
        (build.MODEL, UNDEFINED, b"One\0\xff", "model", "One"), (build.MODEL, 129, "Müller".encode(), "model", "Müller"),
        (build.ISO, LONG, 100, "iso", 100.0), (build.ISO, BYTE, 200, "iso", 200.0), (build.ISO, SHORT, [400, 400], "iso", 400.0),
        (build.ISO, ASCII, "12,800", "iso", 12800.0), (build.ISO, RATIONAL, (100, 1), "iso", 100.0),
        (build.F_NUMBER, FLOAT, 4.0, "f_number", 4.0), (build.F_NUMBER, DOUBLE, 5.6, "f_number", 5.6),
        (build.F_NUMBER, LONG, [28, 10], "f_number", 2.8), (build.F_NUMBER, SRATIONAL, (28, 10), "f_number", 2.8),
        (build.F_NUMBER, RATIONAL, [(28, 10), (56, 10)], "f_number", 2.8), (build.F_NUMBER, SHORT, 8, "f_number", 8.0),
        (build.F_NUMBER, ASCII, "ƒ/2.8", "f_number", 2.8), (build.F_NUMBER, FLOAT, float("nan"), "f_number", None),
        (build.FOCAL_LENGTH_35MM, SHORT, [75, 75], "focal_length_35mm", 75.0), (build.FLASH, SHORT, [25, 0], "flash_fired", True),
        (build.FLASH, BYTE, 16, "flash_fired", False), (build.ORIENTATION, SHORT, [6, 0, 0], "orientation", 6),
        (build.ORIENTATION, LONG, 6, "orientation", 6), (build.ORIENTATION, BYTE, 6, "orientation", 6),
        (0x9201, RATIONAL, (2**32 - 3, 1), "exposure_time_s", 8.0),  # ShutterSpeedValue -3 as if it had no sign
        (build.TAKEN_AT, ASCII, b"2004:05:06 07:08:09\0junk", "taken_at", "2004-05-06T07:08:09"),
    ],
)  # fmt: skip
def test_every_type_and_count_is_read(
    order: str, tag: int, kind: int, value: Any, column: str, expected: object
) -> None:
    assert getattr(read_block(build.tiff([], [(tag, kind, value)], order)), column) == expected


@pytest.mark.parametrize(("order", "size"), [("<", 2), ("<", 4), (">", 2), (">", 4)])
def test_undefined_bytes_are_an_integer(order: str, size: int) -> None:
    number = (100).to_bytes(size, "little" if order == "<" else "big")
    assert read_block(build.tiff([], [(build.ISO, UNDEFINED, number)], order)).iso == 100.0


@pytest.mark.parametrize(
    ("text", "encoding"), [("Grüße", "utf-16-be"), ("Grüße", "utf-16-le"), ("湖", "utf-16"), ("lake", "ascii")]
)
def test_user_comments_are_decoded_in_any_byte_order(text: str, encoding: str) -> None:
    entry = (build.USER_COMMENT, UNDEFINED, b"UNICODE\0" + text.encode(encoding))
    data = build.with_segments(JPEG, build.exif_segment(build.tiff([], [entry], ">")))
    assert read_exif(data, keep_all=True).raw["Exif"]["UserComment"] == text


@pytest.mark.parametrize(
    ("tags", "values"),
    [
        ([(build.F_NUMBER, RATIONAL, (0, 1)), (0x9202, RATIONAL, (0, 1))], (None, None)),
        ([(build.F_NUMBER, RATIONAL, (0, 0)), (0x9202, RATIONAL, (0, 100))], (None, None)),
        ([(build.F_NUMBER, RATIONAL, (1, 0))], (None, None)), ([(0x9202, RATIONAL, (0, 1))], (None, None)),
        ([(build.EXPOSURE_TIME, RATIONAL, (0, 1)), (0x9201, SRATIONAL, (0, 1))], (None, None)),
        ([(build.EXPOSURE_TIME, RATIONAL, (0, 0)), (0x9201, SRATIONAL, (3, 1))], (None, 0.125)),
    ],
)  # fmt: skip
def test_zero_and_undefined_mean_unknown(tags: list[build.Entry], values: tuple[float | None, float | None]) -> None:
    record = read_block(build.tiff([], tags))
    assert (record.f_number, record.exposure_time_s) == values


@pytest.mark.parametrize(
    "segments",
    [
        (build.exif_segment(BLOCK, b"Exif\0"),), (build.exif_segment(BLOCK, b"EXIF\0\0"),), (build.exif_segment(BLOCK, b"\0\0Exif\0\0"),),
        (build.exif_segment(BLOCK, b""),), (build.segment(0xE2, b"Exif\0\0" + BLOCK),), (build.exif_segment(BLOCK, b"Exif\0\0\0\0"),),
        (build.exif_segment(b"II*\0\x08\0\0\0\0\0"), build.exif_segment(BLOCK)), (build.exif_segment(b"junk"), build.exif_segment(BLOCK)),
        (XMP_SEGMENT, build.exif_segment(BLOCK)), (build.exif_segment(BLOCK[:90]), build.segment(0xE1, b"Exif\0\0" + BLOCK[90:])),
        (b"\xff\xff\xff", build.exif_segment(BLOCK)),
    ],
)  # fmt: skip
def test_exif_is_read_from_odd_and_second_segments(segments: tuple[bytes, ...]) -> None:
    values = read(build.with_segments(JPEG, *segments))
    assert (values.make, values.f_number, values.orientation) == ("Acme", 2.8, 6)


PNG, GIF = (encode_image(Image.new("RGB", (8, 8)), kind) for kind in ("PNG", "GIF"))
JPEG_2000 = encode_image(Image.new("RGB", (8, 8)), "JPEG2000")
XMP_UUID = bytes.fromhex("be7acfcb97a942e89c71999491e3afac")


@pytest.mark.parametrize(
    "data",
    [
        build.with_chunks(PNG, build.chunk(b"eXIf", BLOCK)), build.with_chunks(PNG, behind=build.chunk(b"eXIf", BLOCK)),
        build.with_chunks(PNG, build.raw_profile("exif", b"Exif\0\0" + BLOCK)), build.with_chunks(PNG, build.raw_profile("APP1", b"Exif\0\0" + BLOCK)),
        build.with_chunks(PNG, build.raw_profile("xmp", PACKET)), build.with_chunks(PNG, behind=build.chunk(b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + PACKET)),
        build.with_chunks(PNG, build.chunk(b"iTXt", b"XML:com.adobe.xmp\0\1\0\0\0" + zlib.compress(PACKET))),
        JPEG_2000 + build.box(b"uuid", b"JpgTiffExif->JP2" + BLOCK), JPEG_2000 + build.box(b"uuid", XMP_UUID + PACKET),
        GIF[:-1] + b"\x21\xff\x0bXMP DataXMP" + PACKET + b"\x01" + bytes(range(255, -1, -1)) + b"\0\0;",
        build.heif(BLOCK), build.heif(b"", PACKET), BLOCK, build.raw_file(JPEG, (3000, 2000)),
        build.box(b"ftyp", b"crx \0\0\0\1crx isom") + build.box(b"moov", build.box(b"uuid", bytes.fromhex("85c0b687820f11e08111f4ce462b6a48")
            + build.box(b"CMT1", build.tiff(CAMERA)) + build.box(b"CMT2", b"II*\0\x08\0\0\0" + build.directory(SETTINGS, 8)))),
        b"FUJIFILMCCD-RAW".ljust(84, b" ") + struct.pack(">II", 92, 9999) + build.with_segments(JPEG, build.exif_segment(BLOCK)),
    ],
)  # fmt: skip
def test_settings_are_found_wherever_a_format_keeps_them(data: bytes) -> None:
    assert read(data).f_number == 2.8


@pytest.mark.parametrize("prefix", [b"Exif\0\0", b"\0\0\0\0Exif\0\0"])
def test_wrong_offset_of_a_heif_item_is_corrected(prefix: bytes) -> None:
    assert read(build.heif(prefix + BLOCK)).f_number == 2.8


def test_metadata_of_another_item_of_a_heif_is_not_read() -> None:
    assert read(build.heif(BLOCK, PACKET, described=7)) == ExifValues()


def test_extended_xmp_is_read() -> None:
    extension = build.segment(
        0xE1, b"http://ns.adobe.com/xmp/extension/\0" + bytes(32) + struct.pack(">II", len(PACKET), 0) + PACKET
    )
    assert read(build.with_segments(JPEG, extension)).f_number == 2.8


def description(about: str, content: str) -> str:
    return f"<rdf:Description rdf:about='{about}' xmlns:exif='http://ns.adobe.com/exif/1.0/' {content}"


@pytest.mark.parametrize(
    ("descriptions", "f_number"),
    [
        (description("", "exif:FNumber='4/1'/>") + description("other.jpg", "exif:ExposureTime='1/8'/>"), "4/1"),
        (description("other.jpg", "exif:FNumber='8/1'/>") + description("", "exif:FNumber='4/1'/>"), "4/1"),
        (description("uuid:1", "exif:FNumber='4/1'/>"), "4/1"),
        (description("", "><x:Pantry xmlns:x='x'><rdf:Bag><rdf:li>" + description("", "exif:FNumber='8/1'/>") + "</rdf:li></rdf:Bag></x:Pantry></rdf:Description>"), None),
    ],
)  # fmt: skip
def test_xmp_counts_only_about_the_file_itself(descriptions: str, f_number: str | None) -> None:
    packet = f"<rdf:RDF xmlns:rdf='http://www.w3.org/1999/02/22-rdf-syntax-ns#'>{descriptions}</rdf:RDF>"
    tags = xmp_tags(packet.encode())
    assert tags.get("XMP-exif:FNumber") == f_number
    assert "XMP-exif:ExposureTime" not in tags
    assert xmp_tags(packet.encode("utf-16")) == tags


@pytest.mark.parametrize("unit", [b"<xmpmeta", b"<x:xmpmeta>", b"<rdf:RDF ", b"</", b"<a><", PACKET[:90], b"<rdf:li>"])
def test_hostile_xmp_takes_little_time(unit: bytes) -> None:
    start = time.thread_time()
    xmp_tags(PACKET[:120] + unit * (1_000_000 // len(unit)))
    xmp_tags(unit * (1_000_000 // len(unit)))
    assert time.thread_time() - start < 5


@given(st.binary(max_size=300))
def test_random_bytes_are_read_as_directories(data: bytes) -> None:
    for header in (b"", b"II*\0\x08\0\0\0", b"MM\0*\0\0\0\x08", b"II+\0\x08\0\0\0\x10\0\0\0\0\0\0\0"):
        read_directories(header + data)


FILES = [BLOCK, build.with_segments(JPEG, build.exif_segment(BLOCK)), build.heif(BLOCK, PACKET), build.raw_file(JPEG, (3000, 2000)),
         build.with_chunks(PNG, build.raw_profile("exif", BLOCK)), JPEG_2000 + build.box(b"uuid", XMP_UUID + PACKET)]  # fmt: skip


@given(st.sampled_from(FILES), st.lists(st.tuples(st.integers(0, 2000), st.binary(min_size=1, max_size=4)), max_size=8))
def test_mutated_files_give_json_and_plausible_values(data: bytes, changes: list[tuple[int, bytes]]) -> None:
    content = bytearray(data)
    for position, replacement in changes:
        start = position % len(content)
        content[start : start + len(replacement)] = replacement
    record = read_exif(bytes(content), keep_all=True)
    json.dumps(record.raw, allow_nan=False)
    assert record.values.f_number is None or 0.5 <= record.values.f_number <= 512


def test_loops_and_huge_counts_are_harmless() -> None:
    start = time.thread_time()
    loop = b"II*\0" + struct.pack("<IHHHII", 8, 1, build.EXIF, LONG, 1, 8) + struct.pack("<I", 8)
    assert list(read_directories(loop)) == ["IFD0"]
    directories = read_directories(b"MM\0*\0\0\0\x08" + b"\xff" * 2_000_000)
    pointers = build.directory([(0x014A, LONG, list(range(8, 1000)))], 8)
    read_directories(b"II*\0\x08\0\0\0" + pointers * 100)
    assert directories == {}
    assert time.thread_time() - start < 5
