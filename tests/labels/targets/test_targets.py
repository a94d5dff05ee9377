"""Targets: the rules of the built-in targets, and definition files of plugins and projects."""

from pathlib import Path
from typing import Any

import pytest

from lightmeter.errors import UsageError
from lightmeter.labels.annotations.rules import apply
from lightmeter.labels.targets.base import PhotoFacts
from lightmeter.labels.targets.registry import get_target, list_targets
from lightmeter.project import Project

LENS_TARGET = """\
from lightmeter.labels import Decision, OpenDefinition, PhotoFacts, Target


class Lens(Target[OpenDefinition]):
    definition_type = OpenDefinition
    exif_columns = ("lens",)

    def decide(self, facts: PhotoFacts) -> Decision:
        lens = facts.exif.get("lens")
        return Decision(lens) if lens else Decision(reason="no lens")
"""


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
def test_setting_is_binned(target: str, exif: dict[str, float], expected: str) -> None:
    assert decide(target, **exif)[0] == expected


def test_number_is_exact_value() -> None:
    assert decide("shutter", exposure_time_s=0.25)[1] == -2.0
    assert decide("aperture", f_number=8.0)[1] == 6.0
    assert decide("iso", iso=400.0)[1] == 2.0
    assert decide("focal-length", focal_length_35mm=28.0)[1] == 28.0


@pytest.mark.parametrize(
    ("target", "exif", "reason"),
    [
        ("shutter", {}, "no exposure time"),
        ("shutter", {"exposure_time_s": 2**-6.5}, "between 1/125 and 1/60"),
        ("shutter", {"exposure_time_s": 600.0}, "outside the classes"),
        ("shutter", {"exposure_time_s": 1e-6}, "outside the classes"),
        ("shutter-binary", {"exposure_time_s": 1 / 125}, "between fast and slow"),
        ("iso-binary", {"iso": 400.0}, "between low and high"),
        ("focal-length", {"focal_length_35mm": 65.0}, "between normal and short tele"),
    ],
)
def test_value_outside_classes_is_excluded_with_reason(target: str, exif: dict[str, float], reason: str) -> None:
    decision = decide(target, **exif)
    assert (decision[0], decision[2]) == (None, reason)


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
def test_medium_is_declared_or_recognised_by_scanner(
    mediums: tuple[str, ...], exif: dict[str, str], expected: str | None
) -> None:
    assert get_target("medium").decide(PhotoFacts(1, exif, mediums)).value == expected


@pytest.mark.parametrize(
    ("make", "model", "expected_make", "expected_model"),
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
def test_camera_names_are_normalised(
    make: str | None, model: str | None, expected_make: str | None, expected_model: str | None
) -> None:
    assert decide("camera-make", make=make, model=model)[0] == expected_make
    assert decide("camera-model", make=make, model=model)[0] == expected_model


@pytest.mark.parametrize(
    ("target", "expected"),
    [("concept", "animals|dogs|street"), ("super-concept", "animals|street"), ("sub-concept", "dogs")],
)
def test_concepts_of_all_sightings_are_selected_by_level(target: str, expected: str) -> None:
    facts = PhotoFacts(1, concepts=(("Animals", "Dogs"), ("street",), ("animals ",)))
    assert get_target(target).decide(facts).value == expected
    assert get_target(target).decide(PhotoFacts(1)).reason == f"no {target}"


def test_built_in_definitions_are_valid() -> None:
    for name, entry in list_targets().items():
        assert name == entry.file.stem
        target = entry.target
        assert not target.stops or len(target.stops) == len(target.classes)
    assert len(get_target("aperture-thirds").classes) == 23


def test_project_definition_replaces_built_in(tmp_path: Path) -> None:
    built_in = list_targets()["shutter-binary"].file.read_text(encoding="utf-8")
    (tmp_path / "targets").mkdir()
    changed = built_in.replace('to = "1/250"', 'to = "1/1000"').replace('version = "1"', 'version = "mine"')
    (tmp_path / "targets" / "mine.toml").write_text(changed, encoding="utf-8")
    target = get_target("shutter-binary", Project(tmp_path))
    assert target.version == "mine"
    assert target.decide(PhotoFacts(1, {"exposure_time_s": 1 / 500})).reason == "between fast and slow"


def test_installed_plugin_with_open_classes_labels_photographs(
    catalogue: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package, metadata = tmp_path / "lens_target.py", tmp_path / "lens_target-1.0.dist-info"
    package.write_text(LENS_TARGET, encoding="utf-8")
    definition = 'name = "lens"\nversion = "1"\nplugin = "lens"\nsummary = "which lens (open classes)"\n'
    for file, text in {
        tmp_path / "definitions" / "lens.toml": definition,
        metadata / "METADATA": "Name: lens-target\nVersion: 1.0\n",
        metadata / "entry_points.txt": "[lightmeter.targets]\nlens = lens_target:Lens\n",
    }.items():
        file.parent.mkdir(exist_ok=True)
        file.write_text(text, encoding="utf-8")
    monkeypatch.syspath_prepend(str(tmp_path))
    assert list_targets()["lens"].origin == "lens-target"
    for lens in ("EF 50", "EF 50", None):
        catalogue.photograph(lens=lens)
    (result,) = apply(catalogue.engine, [get_target("lens")]).values()
    assert (result.labelled, result.excluded) == ({"EF 50": 2}, {"no lens": 1})


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (('plugin = "iso"', 'plugin = "isso"'), "did you mean iso"),
        (("tolerance = 0.45", "tolerance = 2"), "tolerance"),
        (("stops = -2", "stops = 12"), "order of their stops"),
        (('name = "50"', 'name = "100"'), "same name"),
        (('name = "iso"', 'nom = "iso"'), "name"),
    ],
)
def test_invalid_definition_raises_error(tmp_path: Path, change: tuple[str, str], message: str) -> None:
    text = list_targets()["iso"].file.read_text(encoding="utf-8")
    (tmp_path / "targets").mkdir()
    (tmp_path / "targets" / "iso.toml").write_text(text.replace(*change), encoding="utf-8")
    with pytest.raises(UsageError, match=message):
        list_targets(Project(tmp_path))


def test_unknown_target_suggests_nearest_name() -> None:
    with pytest.raises(UsageError, match="did you mean shutter"):
        get_target("shuter")
