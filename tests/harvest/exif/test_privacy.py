"""Personal data in EXIF is not stored unless the settings allow it."""

import io
from pathlib import Path

import pytest
from PIL import Image
from sqlalchemy import insert, select

from lightmeter.harvest.catalogue.database.session import open_engine
from lightmeter.harvest.catalogue.ingest import save_items
from lightmeter.harvest.catalogue.items import RunOptions, SourceContext
from lightmeter.harvest.catalogue.models import Exif, HarvestRun
from lightmeter.harvest.catalogue.models import Image as ImageRecord
from lightmeter.harvest.catalogue.records import CleanRecord, clean_record
from lightmeter.harvest.exif.reader import read_exif, read_tags
from lightmeter.harvest.sources.base import Sighting
from lightmeter.images.tiff import ASCII, RATIONAL
from lightmeter.project import Project
from tests.harvest.exif import build
from tests.support import CommandRunner, jpeg

SECRETS = ("SN-4711-0815", "LENS-4711-0815", "Berenice Nobody", "46.50417")


@pytest.fixture
def photograph(tmp_path: Path) -> Path:
    """A folder with a photograph that contains personal data."""
    folder = tmp_path / "photographs"
    folder.mkdir()
    with Image.open(io.BytesIO(jpeg(1))) as image:
        tags = image.getexif()
        tags[0x013B] = tags[0x8298] = "Berenice Nobody"
        tags[0x010E] = "A bridge, by Berenice Nobody"
        tags.get_ifd(0x8769).update({0xA431: "SN-4711-0815", 0xA435: "LENS-4711-0815", 0xA430: "Berenice Nobody"})
        tags.get_ifd(0x8769)[0x927C] = b"\0maker's own SN-4711-0815"
        tags.get_ifd(0x8825).update({1: "N", 2: (46.50417, 0.0, 0.0)})
        image.save(folder / "personal.jpg", exif=tags)
    return folder


def _catalogue_bytes(project: Path) -> bytes:
    return b"".join(path.read_bytes() for path in project.glob("catalogue.sqlite*"))


def test_catalogue_file_has_no_personal_data_of_a_photograph(
    project: Path, photograph: Path, lightmeter: CommandRunner
) -> None:
    lightmeter("harvest", "run", "folder", photograph)
    stored = _catalogue_bytes(project)
    assert b"Lightmeter Works" in stored
    assert [secret for secret in SECRETS if secret.encode() in stored] == []
    with open_engine(Project(project)).connect() as connection:
        body = connection.scalars(select(ImageRecord.body)).one()
    assert len(body or "") == 64


def test_personal_tags_are_stored_when_enabled(project: Path, photograph: Path, lightmeter: CommandRunner) -> None:
    lightmeter("harvest", "run", "folder", photograph, env={"LIGHTMETER_EXIF__KEEP_ALL": "true"})
    stored = _catalogue_bytes(project)
    assert b"SN-4711-0815" in stored
    assert b"Berenice Nobody" in stored
    assert b"46.504" not in stored  # coordinates never are


@pytest.mark.parametrize("origin", ["file", "tags"])
def test_only_technical_tags_are_stored_whatever_the_origin(origin: str) -> None:
    personal: dict[str, object] = {
        "IPTC:City": "Innsbruck", "IPTC:Sub-location": "Hofgasse", "IPTC:Writer-Editor": "Ada Writer",
        "XMP-iptcCore:CreatorWorkEmail": "ada@example.org", "XMP-mwg-rs:RegionName": "Ada", "XMP-plus:CopyrightOwnerName": "Ada",
        "XMP-xmpRights:WebStatement": "https://ada.example", "MakerNotes:BabyName": "Ada", "XMP-drone:Latitude": "46.5",
        "IFD0:XPTitle": "Ada at home", "Exif:ImageHistory": "by Ada", "IFD0:CameraLabel": "Ada's", "Exif:ImageTitle": "Ada",
        "XMP-xmp:BaseURL": "https://ada.example", "Exif:UserComment": "call Ada", "IFD0:ImageDescription": "Ada", "Exif:0xa500": "Ada",
        "AnalogExif:Lab": "Ada's lab", "NegPy:CaptureRoll": "Ada's roll", "GPS:GPSLatitude": "46.5", "IFD0:HostComputer": "ada-pc",
    }  # fmt: skip
    tags = {"Exif:FNumber": "28/10", "IFD0:Model": "One", **personal}
    if origin == "file":
        block = build.tiff([(build.MODEL, ASCII, "One"), (0x9C9B, 1, list("Ada at home".encode("utf-16-le"))), (0xC62F, ASCII, "Ada's")],
                           [(build.F_NUMBER, RATIONAL, (28, 10)), (0x9213, ASCII, "by Ada"), (0xA436, ASCII, "Ada")])  # fmt: skip
        raw = read_exif(block).raw
    else:
        raw = read_tags(tags).raw
        everything = read_tags(tags, keep_all=True).raw
        assert everything["IPTC"]["City"] == "Innsbruck"
        assert "Latitude" not in str(everything)
    assert raw == {"Exif": {"FNumber": "28/10"}, "IFD0": {"Model": "One"}}


def test_coordinates_in_metadata_of_a_source_are_not_stored() -> None:
    metadata = {
        "lat": 46.5, "geoLng": 8.1, "camera_long": 8.1, "Longitude": "8.1", "tag_coordinates": "46.5 8.1", "GPS": {"a": 1},
        "place": {"name": "Alps", "geo.lat": 46.5, "points": [{"lat": 46.5, "id": 3}]}, "long_exposure": True, "plate": "x",
    }  # fmt: skip
    item = Sighting(source_id="1", media_url="https://example.org/1.jpg", metadata=metadata)
    record = clean_record(item, "x")
    assert isinstance(record, CleanRecord)
    assert record.item.metadata == {
        "place": {"name": "Alps", "points": [{"id": 3}]}, "long_exposure": True, "plate": "x"
    }  # fmt: skip


def test_catalogue_file_has_no_personal_data_of_a_source(project: Path) -> None:
    tags = {
        "ExifIFD:FNumber": "4.0",
        "ExifIFD:SerialNumber": SECRETS[0],
        "XMP-dc:Creator": SECRETS[2],
        "GPS:GPSLatitude": SECRETS[3],
    }
    item = Sighting(source_id="1", media_url="https://example.org/1.jpg", exif=tags, exif_origin="api")
    engine = open_engine(Project(project))
    with engine.begin() as connection:
        run = insert(HarvestRun).values(source="x", query={}, options={}).returning(HarvestRun.id)
        number = connection.execute(run).scalar_one()
        save_items(connection, number, SourceContext("x", frozenset({"https"})), [item], RunOptions(), None)
        (raw,) = connection.scalars(select(Exif.raw))
    assert raw == {"ExifIFD": {"FNumber": "4.0"}}
    engine.dispose()
    assert [secret for secret in SECRETS if secret.encode() in _catalogue_bytes(project)] == []
