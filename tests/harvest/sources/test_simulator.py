"""Tests of the source ``simulator``."""

import io

import pytest
from PIL import ExifTags, Image

from lightmeter.harvest.simulator.photographers import SERIES_STEPS
from lightmeter.harvest.sources.base import Sighting
from lightmeter.harvest.sources.simulator import Simulator
from lightmeter.settings import Settings
from tests.harvest.simulator.images import SIZE, exif_tags, pixels_of


def discover(**options: object) -> list:
    query = Simulator.Query(**options)
    results = Simulator(Settings()).discover(query, None)
    return [item for item in results if isinstance(item, Sighting)]


def test_url_determines_the_photograph() -> None:
    item = discover(count=3, size="160x120")[2]
    data = Simulator.read(item.media_url)
    assert Image.open(io.BytesIO(data)).size == SIZE
    assert data == Simulator.read(item.media_url)
    assert float(exif_tags(data)[ExifTags.Base.FNumber]) == item.metadata["f_number"]  # type: ignore[arg-type]


def test_items_are_marked_as_simulated() -> None:
    items = discover(count=10, film_share=0.5)
    assert len(items) == 10
    for item in items:
        assert "simulated" in item.tags
        assert "(simulated)" in item.title
        assert item.licence == "CC0-1.0"


def test_photographers_take_turns() -> None:
    assert len({item.owner for item in discover(count=20, photographers=4)}) == 4


def test_share_of_film_matches_the_option() -> None:
    media = [item.medium for item in discover(count=400, film_share=0.25)]
    assert media.count("film") == pytest.approx(100, abs=30)
    assert {item.medium for item in discover(count=20)} == {"digital"}


def test_source_ids_are_stable_and_unique() -> None:
    ids = [item.source_id for item in discover(count=50)]
    assert len(set(ids)) == 50
    assert ids[:10] == [item.source_id for item in discover(count=10)]
    assert not set(ids) & {item.source_id for item in discover(count=50, seed=1)}


def test_discovery_resumes_at_a_checkpoint() -> None:
    query = Simulator.Query(count=300)
    rest = list(Simulator(Settings()).discover(query, {"index": 298}))
    assert [item.file for item in rest] == ["simulated-0-000298.jpg", "simulated-0-000299.jpg"]


@pytest.mark.parametrize(
    ("setting", "column"), [("aperture", "f_number"), ("iso", "iso"), ("shutter", "exposure_time_s")]
)
def test_series_varies_a_single_setting(setting: str, column: str) -> None:
    steps = SERIES_STEPS[setting]  # type: ignore[index]
    items = discover(series=setting, count=len(steps) + 1)
    metadata = [item.metadata for item in items[:-1]]
    assert [entry[column] for entry in metadata] == list(steps)
    for fixed in {"scene", "f_number", "iso", "exposure_time_s", "focal_length_mm"} - {column}:
        assert len({entry[fixed] for entry in metadata}) == 1
    assert len({item.owner for item in items[:-1]}) == 1
    assert items[-1].metadata["scene"] != metadata[0]["scene"]


def test_series_has_constant_brightness() -> None:
    means = [
        pixels_of(Simulator.read(item.media_url)).mean() for item in discover(series="iso", count=7, size="160x120")
    ]
    assert max(means) - min(means) < 6


@pytest.mark.parametrize("size", ["640", "640x", "9x9", "640x99999", "a x b"])
def test_invalid_size_raises_error(size: str) -> None:
    with pytest.raises(ValueError, match="640x480"):
        Simulator.Query(size=size)
