"""Reading EXIF and XMP from files."""

import json
from pathlib import Path

import pytest
from PIL import Image
from PIL.TiffImagePlugin import IFDRational

from lightmeter.harvest.exif.reader import ExifRecord, read_exif, read_tags
from lightmeter.harvest.exif.xmp import xmp_tags
from tests.support import encode_image


def photograph(kind: str = "JPEG") -> bytes:
    """Return an image with settings and personal data in EXIF."""
    tags = Image.Exif()
    tags[0x010F], tags[0x0110] = "Testmaker", "Test 1"
    tags[0x013B], tags[0x010E] = "Ansel Someone", "A lake, by Ansel Someone"
    tags.get_ifd(0x8769).update(
        {0x829D: IFDRational(28, 10), 0x829A: 0.008, 0x8827: 100, 0x920A: 50.0, 0xA431: "SN-123456"}
    )
    tags.get_ifd(0x8769)[0x927C] = b"maker's own, with SN-123456"
    tags.get_ifd(0x8825).update({1: "N", 2: (46.0, 30.0, 15.0)})
    return encode_image(Image.new("RGB", (40, 30), "teal"), kind, exif=tags)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "AVIF"])
def test_settings_are_read_from_each_format(kind: str) -> None:
    values = read_exif(photograph(kind)).values
    assert (values.make, values.model) == ("Testmaker", "Test 1")
    assert values.f_number == pytest.approx(2.8)
    assert values.exposure_time_s == pytest.approx(0.008)
    assert (values.iso, values.focal_length_mm) == (100.0, 50.0)


def test_personal_data_is_excluded_by_default() -> None:
    record = read_exif(photograph())
    stored = json.dumps([record.raw, str(record.values)])
    assert not any(secret in stored for secret in ("SN-123456", "Ansel", "46"))
    assert record.serial == "SN-123456"
    assert "SN-123456" not in repr(record)
    assert "FNumber" in record.raw["Exif"]


def test_personal_data_is_stored_when_enabled() -> None:
    raw = read_exif(photograph(), keep_all=True).raw
    assert raw["IFD0"]["Artist"] == "Ansel Someone"
    assert raw["Exif"]["BodySerialNumber"] == "SN-123456"
    assert "GPS" not in raw  # coordinates are never stored
    assert "MakerNote" not in raw["Exif"]  # opaque


def test_raw_tags_keep_their_values() -> None:
    raw = read_exif(photograph()).raw
    assert raw["Exif"]["ISOSpeedRatings"] == 100
    assert raw["Exif"]["FNumber"] in ("28/10", "14/5")
    json.dumps(raw, allow_nan=False)


def test_path_and_bytes_give_the_same_record(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(photograph())
    assert read_exif(tmp_path / "a.jpg") == read_exif(photograph())


@pytest.mark.parametrize("data", [b"", b"\xff\xd8", b"<html>", photograph()[:80], bytes(1000)])
def test_invalid_data_gives_an_empty_record(data: bytes) -> None:
    assert read_exif(data) == ExifRecord()


def test_missing_file_gives_an_empty_record(tmp_path: Path) -> None:
    assert read_exif(tmp_path / "none.jpg") == ExifRecord()


def test_tags_of_a_source_are_normalised_and_filtered() -> None:
    tags: dict[str, object] = {
        "IFD0:Make": "NIKON CORPORATION", "ExifIFD:FNumber": "4.0", "ExifIFD:SerialNumber": "3000123",
        "XMP-dc:Creator": "Ansel Someone", "XMP-dc:Title": "Photo: Ansel Someone", "GPS:GPSLatitude": "46 deg",
    }  # fmt: skip
    record = read_tags(tags)
    assert record.values.f_number == 4.0
    assert record.raw == {"IFD0": {"Make": "NIKON CORPORATION"}, "ExifIFD": {"FNumber": "4.0"}}
    assert record.serial == "3000123"


def test_placeholder_serial_number_is_ignored() -> None:
    assert read_tags({"SerialNumber": "0000000"}).serial is None


@pytest.mark.shared
def test_damaged_files_raise_no_error(shared: Path) -> None:
    files = sorted((shared / "broken").glob("*/*"))
    assert len(files) > 100
    for file in files:
        json.dumps(read_exif(file.read_bytes(), keep_all=True).raw, allow_nan=False)


@pytest.mark.shared
@pytest.mark.parametrize(
    ("file", "column", "value"),
    [
        ("good_big_endian", "f_number", 2.8), ("zero_denominators", "f_number", None), ("f_1000", "f_number", None),
        ("exposure_1e9_s", "exposure_time_s", None), ("exposure_negative", "exposure_time_s", None),
        ("iso_minus_1", "iso", None), ("iso_65535", "iso", None), ("iso_65535_with_rei", "iso", 102400.0),
        ("iso_two_values", "iso", 100.0), ("iso_ascii", "iso", 400.0), ("focal_zero", "focal_length_mm", None),
        ("apex_only", "f_number", 4.0), ("apex_contradicts", "f_number", 2.8), ("apex_negative_shutter", "exposure_time_s", 8.0),
        ("apex_absurd", "f_number", None), ("tags_in_ifd0", "f_number", 2.8), ("date_zero", "taken_at", None),
        ("two_exif_segments", "f_number", 2.8), ("orientation_9", "orientation", None), ("orientation_ascii", "orientation", 6),
        ("model_utf8", "make", "カメラ"), ("model_latin1", "make", "Fabrik Müller"), ("ifd0_loop", "f_number", 2.8),
    ],
)  # fmt: skip
def test_implausible_values_are_missing(shared: Path, file: str, column: str, value: object) -> None:
    values = read_exif(shared / "broken" / "exif" / f"{file}.jpg").values
    assert getattr(values, column) == value


@pytest.mark.shared
@pytest.mark.parametrize("file", ["with_exif.tif", "with_exif.png", "with_exif.webp"])
def test_exif_is_read_from_other_formats(shared: Path, file: str) -> None:
    values = read_exif(shared / "broken" / "formats" / file).values
    assert (values.f_number, values.exposure_time_s, values.iso, values.focal_length_mm) == (2.8, 0.008, 100.0, 50.0)


@pytest.mark.shared
def test_values_agree_with_exiftool(shared: Path) -> None:
    columns = {"f_number": "FNumber", "exposure_time_s": "ExposureTime", "iso": "ISO", "focal_length_mm": "FocalLength"}
    pairs = []
    for reference in json.loads((shared / "photos" / "exiftool.json").read_text()):
        values = read_exif(shared / "photos" / reference["SourceFile"]).values
        for column, tag in columns.items():
            value, expected = getattr(values, column), reference.get(f"ExifIFD:{tag}")
            if value is not None and expected is not None:
                pairs.append((value, float(str(expected).split()[0])))
    agree = sum(value == pytest.approx(expected, rel=1e-6) for value, expected in pairs)
    assert len(pairs) > 500
    assert agree >= 0.995 * len(pairs)


XMP = b"""<?xpacket begin='' id='x'?><x:xmpmeta xmlns:x='adobe:ns:meta/'>
<rdf:RDF xmlns:rdf='http://www.w3.org/1999/02/22-rdf-syntax-ns#'>
<rdf:Description xmlns:exif='http://ns.adobe.com/exif/1.0/' xmlns:aux='http://ns.adobe.com/exif/1.0/aux/'
 xmlns:dc='http://purl.org/dc/elements/1.1/' exif:FNumber='28/10' exif:ExposureTime='1/125' aux:SerialNumber='SN-9'
 aux:Lens='EF50mm f/1.8' exif:GPSLatitude='46,30N' dc:creator='Ansel Someone'>
<exif:ISOSpeedRatings><rdf:Seq><rdf:li>400</rdf:li></rdf:Seq></exif:ISOSpeedRatings>
<exif:Flash exif:Fired='True' exif:Mode='1'/></rdf:Description></rdf:RDF></x:xmpmeta>"""


def test_xmp_fills_missing_exif() -> None:
    record = read_exif(encode_image(Image.new("RGB", (20, 20)), xmp=XMP))
    assert record == read_tags(xmp_tags(XMP))
    values = record.values
    assert (values.f_number, values.exposure_time_s, values.iso, values.lens) == (2.8, 0.008, 400.0, "EF50mm f/1.8")
    assert values.flash_fired is True
    assert record.serial == "SN-9"
    assert not any(secret in json.dumps(record.raw) for secret in ("SN-9", "46,30N", "Ansel"))


@pytest.mark.parametrize(
    "packet", [b"", b"<x:xmpmeta></y>", b"<!DOCTYPE x [<!ENTITY a 'b'>]>" + XMP, b"<rdf:RDF" * 10_000, XMP[:300]]
)
def test_invalid_xmp_gives_an_empty_record(packet: bytes) -> None:
    assert read_tags(xmp_tags(packet)) == ExifRecord()
