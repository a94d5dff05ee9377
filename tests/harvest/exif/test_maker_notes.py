"""MakerNotes: opt-in, limited in time and without personal data."""

import struct
import time
from pathlib import Path

import exifread
import pytest
from PIL import Image

from lightmeter.cli import main
from lightmeter.harvest.exif.reader import read_exif
from tests.support import CommandRunner, encode_image

ASCII, LONG = 2, 4
OWNER, SERIAL, IMAGE_TYPE, UNNAMED = 0x0009, 0x000C, 0x0006, 0x4321


def write_canon_photo(path: Path, serial: int = 1234567) -> Path:
    """Write a photograph with a MakerNote in the layout of Canon: one IFD with inline values."""
    entries = [
        (IMAGE_TYPE, ASCII, 4, b"IMG\0"),
        (OWNER, ASCII, 4, b"Ada\0"),
        (SERIAL, LONG, 1, struct.pack("<I", serial)),
        (UNNAMED, ASCII, 4, b"who\0"),
    ]
    note = struct.pack("<H", len(entries)) + b"".join(struct.pack("<HHI4s", *entry) for entry in entries) + bytes(4)
    tags = Image.Exif()
    tags[0x010F], tags[0x0110] = "Canon", "Canon EOS 5D"
    tags.get_ifd(0x8769).update({0x829D: 2.8, 0x927C: note})
    image = Image.effect_noise((64, 48), 60).convert("RGB")
    path.write_bytes(encode_image(image, exif=b"Exif\0\0" + _little_endian(tags)))
    return path


def _little_endian(tags: Image.Exif) -> bytes:
    """Return the EXIF block in the byte order of Canon."""
    tags.endian = "<"
    return tags.tobytes().removeprefix(b"Exif\0\0")


def test_maker_notes_are_not_read_by_default(tmp_path: Path) -> None:
    assert "MakerNote" not in read_exif(write_canon_photo(tmp_path / "photo.jpg")).raw


def test_named_tags_are_stored_and_identify_the_body(tmp_path: Path) -> None:
    record = read_exif(write_canon_photo(tmp_path / "photo.jpg"), maker_notes_s=1)
    assert record.raw["MakerNote"] == {"ImageType": "IMG"}
    assert record.serial == "1234567"
    assert record.values.f_number == 2.8


def test_personal_maker_notes_are_stored_when_enabled(tmp_path: Path) -> None:
    record = read_exif(write_canon_photo(tmp_path / "photo.jpg"), keep_all=True, maker_notes_s=1)
    assert record.raw["MakerNote"] == {"ImageType": "IMG", "OwnerName": "Ada", "SerialNumber": 1234567}


def test_slow_maker_notes_are_skipped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exifread, "process_file", lambda *_, **__: time.sleep(30))
    start = time.monotonic()
    record = read_exif(write_canon_photo(tmp_path / "photo.jpg"), maker_notes_s=0.05)
    assert time.monotonic() - start < 10
    assert "MakerNote" not in record.raw
    assert record.values.f_number == 2.8


def test_settings_enable_maker_notes(
    lightmeter: CommandRunner, project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (project / "photographs").mkdir()
    write_canon_photo(project / "photographs" / "photo.jpg")
    monkeypatch.setenv("LIGHTMETER_INSPECT__MAKER_NOTES_S", "1")
    lightmeter("harvest", "run", "folder", project / "photographs")
    document = lightmeter("catalogue", "show", "photo.jpg")
    assert "ImageType" in str(document)
    assert b"1234567" not in (project / "catalogue.sqlite").read_bytes()
    monkeypatch.setattr("lightmeter.harvest.filters.pipeline.find_spec", lambda _: None)
    assert main(["harvest", "inspect"]) == 2
    assert "lightmeter[makernotes]" in capsys.readouterr().err
