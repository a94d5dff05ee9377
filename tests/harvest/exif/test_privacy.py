"""Personal data in EXIF is not stored unless the settings allow it."""

import io
from pathlib import Path

import pytest
from PIL import Image
from sqlalchemy import insert, select

from lightmeter.harvest.catalogue.ingest import save_items
from lightmeter.harvest.catalogue.items import RunOptions, SourceContext
from lightmeter.harvest.catalogue.models import Exif, HarvestRun
from lightmeter.harvest.catalogue.models import Image as ImageRecord
from lightmeter.harvest.catalogue.session import open_engine
from lightmeter.harvest.sources.base import Sighting
from lightmeter.project import Project
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
    keep = {"LIGHTMETER_PRIVACY__KEEP_SERIAL_NUMBERS": "true", "LIGHTMETER_PRIVACY__KEEP_NAMES": "true"}
    lightmeter("harvest", "run", "folder", photograph, env=keep)
    stored = _catalogue_bytes(project)
    assert b"SN-4711-0815" in stored
    assert b"Berenice Nobody" in stored


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
