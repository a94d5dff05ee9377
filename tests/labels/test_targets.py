"""Targets: which class a photograph belongs to, and definitions that people change."""

from pathlib import Path
from typing import Any

import pytest

from lightmeter.errors import UsageError
from lightmeter.labels.annotations.rules import apply
from lightmeter.labels.targets.base import PhotoFacts
from lightmeter.labels.targets.registry import get_target, list_targets
from lightmeter.project import Project


def decide(target: str, **exif: object) -> tuple[str | None, float | None, str]:
    return tuple(get_target(target).decide(PhotoFacts(1, exif)))  # type: ignore[return-value]


@pytest.mark.parametrize(
    ("target", "exif", "expected"),
    [
        ("shutter", {"exposure_time_s": 1 / 60}, "1/60"),
        ("shutter", {"exposure_time_s": 1 / 50}, "1/60"),
        ("shutter", {"exposure_time_s": 30.0}, "30"),
        ("aperture", {"f_number": 5.6}, "f/5.6"),
        ("aperture", {"f_number": 3.5}, "f/4"),
        ("aperture-thirds", {"f_number": 3.5}, "f/3.5"),
        ("aperture-binary", {"f_number": 1.8}, "wide"),
        ("iso", {"iso": 125.0}, "100"),
        ("iso-binary", {"iso": 1600.0}, "high"),
        ("shutter-binary", {"exposure_time_s": 1 / 250}, "fast"),
        ("shutter-binary", {"exposure_time_s": 1 / 60}, "slow"),
        ("focal-length", {"focal_length_35mm": 85.0}, "short tele"),
    ],
)
def test_a_setting_falls_into_its_class(target: str, exif: dict[str, float], expected: str) -> None:
    assert decide(target, **exif)[0] == expected


def test_the_number_is_the_exact_value_in_stops() -> None:
    assert decide("shutter", exposure_time_s=0.25)[1] == -2.0
    assert decide("aperture", f_number=8.0)[1] == 6.0
    assert decide("iso", iso=400.0)[1] == 2.0
    assert decide("focal-length", focal_length_35mm=28.0)[1] == 28.0


@pytest.mark.parametrize(
    ("target", "exif", "reason"),
    [
        ("shutter", {}, "no exposure time"),
        ("shutter", {"exposure_time_s": 2**-6.5}, "between 1/125 and 1/60"),
        ("shutter", {"exposure_time_s": 600.0}, "beyond the classes"),
        ("shutter", {"exposure_time_s": 1e-6}, "beyond the classes"),
        ("shutter-binary", {"exposure_time_s": 1 / 125}, "between fast and slow"),
        ("iso-binary", {"iso": 400.0}, "between low and high"),
        ("focal-length", {"focal_length_35mm": 65.0}, "between normal and short tele"),
    ],
)
def test_what_belongs_to_no_class_is_left_out_with_a_reason(target: str, exif: dict[str, float], reason: str) -> None:
    value, _, said = decide(target, **exif)
    assert (value, said) == (None, reason)


@pytest.mark.parametrize(
    ("mediums", "exif", "expected"),
    [
        (("film",), {}, "film"),
        (("digital",), {"make": "NORITSU KOKI"}, "digital"),
        ((), {"make": "FUJI PHOTO FILM CO., LTD.", "model": "SP-3000"}, "film"),
        ((), {"software": "VueScan 9 x64"}, "film"),
        ((), {"make": "NIKON CORPORATION"}, None),
        (("film", "digital"), {}, None),
    ],
)
def test_medium_is_what_the_source_says_else_film_where_a_scanner_is_named(
    mediums: tuple[str, ...], exif: dict[str, str], expected: str | None
) -> None:
    assert get_target("medium").decide(PhotoFacts(1, exif, mediums)).value == expected


@pytest.mark.parametrize(
    ("make", "model", "maker", "camera"),
    [
        ("NIKON CORPORATION", "NIKON D90", "Nikon", "Nikon D90"),
        ("Canon", "Canon EOS 5D", "Canon", "Canon EOS 5D"),
        ("OLYMPUS IMAGING CORP.  ", "E-M5", "Olympus", "Olympus E-M5"),
        ("EASTMAN KODAK COMPANY", "KODAK DC4800 ZOOM", "Kodak", "Kodak DC4800 ZOOM"),
        ("Arca|Swiss  Works", "Box", "Arca Swiss Works", "Arca Swiss Works Box"),
        (None, "X100", None, "X100"),
        ("FUJIFILM", None, "Fujifilm", None),
    ],
)
def test_cameras_go_by_one_name_however_they_write_it(
    make: str | None, model: str | None, maker: str | None, camera: str | None
) -> None:
    assert decide("camera-make", make=make, model=model)[0] == maker
    assert decide("camera-model", make=make, model=model)[0] == camera


@pytest.mark.parametrize(
    ("target", "expected"),
    [("concept", "animals|dogs|street"), ("super-concept", "animals|street"), ("sub-concept", "dogs")],
)
def test_concepts_are_those_of_all_sightings_from_the_widest_to_the_narrowest(target: str, expected: str) -> None:
    seen = PhotoFacts(1, concepts=(("Animals", "Dogs"), ("street",), ("animals ",)))
    assert get_target(target).decide(seen).value == expected
    assert get_target(target).decide(PhotoFacts(1)).reason == f"no {target}"


def test_every_definition_that_ships_is_sound() -> None:
    for name, entry in list_targets().items():
        assert name == entry.file.stem
        target = entry.target
        assert not target.stops or len(target.stops) == len(target.classes)
    assert len(get_target("aperture-thirds").classes) == 23


def test_a_projects_definition_replaces_the_one_that_ships(tmp_path: Path) -> None:
    shipped = list_targets()["shutter-binary"].file.read_text(encoding="utf-8")
    (tmp_path / "targets").mkdir()
    changed = shipped.replace('to = "1/250"', 'to = "1/1000"').replace('version = "1"', 'version = "mine"')
    (tmp_path / "targets" / "mine.toml").write_text(changed, encoding="utf-8")
    target = get_target("shutter-binary", Project(tmp_path))
    assert target.version == "mine"
    assert target.decide(PhotoFacts(1, {"exposure_time_s": 1 / 500})).reason == "between fast and slow"


def test_the_plugin_that_the_documentation_shows_works(
    catalogue: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown = (Path(__file__).parents[2] / "docs" / "labels.md").read_text(encoding="utf-8")
    code = shown.split("```python\n")[1].split("```")[0]
    names = "Decision, PhotoFacts, OpenDefinition, Target"
    package, told = tmp_path / "lens_target.py", tmp_path / "lens_target-1.0.dist-info"
    package.write_text(f"from lightmeter.labels.targets.base import {names}\n\n{code}", encoding="utf-8")
    definition = 'name = "lens"\nversion = "1"\nby = "lens"\nsummary = "which lens (open classes)"\n'
    for file, text in {
        tmp_path / "definitions" / "lens.toml": definition,
        told / "METADATA": "Name: lens-target\nVersion: 1.0\n",
        told / "entry_points.txt": "[lightmeter.targets]\nlens = lens_target:Lens\n",
    }.items():
        file.parent.mkdir(exist_ok=True)
        file.write_text(text, encoding="utf-8")
    monkeypatch.syspath_prepend(str(tmp_path))
    assert list_targets()["lens"].origin == "lens-target"
    for lens in ("EF 50", "EF 50", None):
        catalogue.photograph(lens=lens)
    (outcome,) = apply(catalogue.engine, [get_target("lens")]).values()
    assert (outcome.labelled, outcome.left_out) == ({"EF 50": 2}, {"no lens": 1})


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (('by = "iso"', 'by = "isso"'), "did you mean iso"),
        (("reach = 0.45", "reach = 2"), "reach"),
        (("stops = -2", "stops = 12"), "order of their stops"),
        (('name = "50"', 'name = "100"'), "same name"),
        (('name = "iso"', 'nom = "iso"'), "name"),
    ],
)
def test_a_wrong_definition_is_one_sentence(tmp_path: Path, change: tuple[str, str], told: str) -> None:
    text = list_targets()["iso"].file.read_text(encoding="utf-8")
    (tmp_path / "targets").mkdir()
    (tmp_path / "targets" / "iso.toml").write_text(text.replace(*change), encoding="utf-8")
    with pytest.raises(UsageError, match=told):
        list_targets(Project(tmp_path))


def test_an_unknown_target_gets_the_nearest_name() -> None:
    with pytest.raises(UsageError, match="did you mean shutter"):
        get_target("shuter")
