"""Film in XMP: AnalogExif and its variants, and NegPy, which also names the camera that copied the negative."""

import pytest

from lightmeter.harvest.exif.reader import read_tags
from lightmeter.harvest.exif.xmp import xmp_tags
from lightmeter.labels.targets.base import PhotoFacts
from lightmeter.labels.targets.registry import get_target

ANALOG = "http://analogexif.sourceforge.net/ns"
NEGPY = "https://negpy.app/ns/1.0/"


def packet(namespace: str, attributes: str) -> bytes:
    return (
        "<rdf:RDF xmlns:rdf='http://www.w3.org/1999/02/22-rdf-syntax-ns#'><rdf:Description rdf:about='' "
        f"xmlns:f='{namespace}' xmlns:exif='http://ns.adobe.com/exif/1.0/' {attributes}/></rdf:RDF>"
    ).encode()


@pytest.mark.parametrize("namespace", [ANALOG, f"{ANALOG}/", f"{ANALOG}#"])
def test_film_and_developer_of_analogexif_are_read(namespace: str) -> None:
    attributes = "f:Film='Tri-X 400' f:FilmMaker='Kodak' f:Developer='Rodinal' exif:FNumber='56/10'"
    record = read_tags(xmp_tags(packet(namespace, attributes)))
    assert (record.values.film, record.values.f_number) == ("Kodak Tri-X 400", 5.6)
    assert record.raw["XMP-AnalogExif"]["Developer"] == "Rodinal"
    assert get_target("medium").decide(PhotoFacts(1, {"make": "NIKON", "film": record.values.film})).value == "film"


def test_settings_of_the_camera_that_copied_a_negative_are_not_those_of_the_photograph() -> None:
    scan = "f:ScanCameraModel='NIKON D850' f:CaptureFilmStock='Portra 400' f:CaptureFilmManufacturer='Kodak'"
    exif = {
        "Make": "NIKON CORPORATION",
        "Model": "NIKON D850",
        "FNumber": "8",
        "ExposureTime": "1/60",
        "ISO": 64,
        "Orientation": 6,
    }
    values = read_tags(exif | xmp_tags(packet(NEGPY, scan))).values
    assert (values.film, values.orientation) == ("Kodak Portra 400", 6)
    assert (values.make, values.model, values.f_number, values.exposure_time_s, values.iso) == (None,) * 5
    camera = f"{scan} f:CaptureCameraMake='Nikon' f:CaptureCameraModel='FM2'"
    assert read_tags(exif | xmp_tags(packet(NEGPY, camera))).values.model == "FM2"


def test_file_source_of_a_film_scanner_means_film() -> None:
    assert read_tags({"FileSource": 1}).values.film == "unknown"
    assert read_tags({"FileSource": 3}).values.film is None
