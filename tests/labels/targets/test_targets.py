"""Targets: the rules of the built-in targets, and definition files of plugins and projects."""

import re
from pathlib import Path
from typing import Any

import pytest

from lightmeter.errors import UsageError
from lightmeter.exposure import NOMINAL_EXPOSURE_TIMES_S, NOMINAL_F_NUMBERS, NOMINAL_ISOS
from lightmeter.labels.annotations.rules import apply
from lightmeter.labels.targets.base import PhotoFacts
from lightmeter.labels.targets.registry import get_target, list_targets, read_targets
from lightmeter.project import Project
from tests.support import run_error, run_json

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
        ((), {"make": "Imacon", "model": "Flextight 848"}, "film"),
        ((), {"make": "Hasselblad/Imacon", "model": "Ixpress 528C - Hasselblad ELD"}, None),
        ((), {"make": "OLYMPUS IMAGING CORP.", "model": "SP-500UZ"}, None),
        ((), {"make": "NIKON CORPORATION", "film": "unknown"}, "film"),
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
    definition = 'name = "lens"\nversion = "1"\nby = "lens"\nsummary = "which lens (open classes)"\n'
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
        (('by = "iso"', 'by = "isso"'), "did you mean iso"),
        (("tolerance = 0.41", "tolerance = 2"), "tolerance"),
        (("stops = -2", "stops = 12"), "order of their stops"),
        (('name = "50"', 'name = "100"'), "same name"),
        (('name = "iso"', 'nom = "iso"'), "name"),
        (("stops = -2", "stops = nan"), "finite"),
        (("stops = -2", "stops = -1"), "must differ"),
        (('name = "50"', 'name = "50 "'), "begins or ends with a blank"),
        (('name = "50"', 'name = ".."'), "is a path"),
        (('name = "50"', 'name = "con"'), "name of a folder on every system"),
        (('name = "50"', 'name = "a\\u001bb"'), "control character"),
    ],
)
def test_invalid_definition_raises_error(tmp_path: Path, change: tuple[str, str], message: str) -> None:
    text = list_targets()["iso"].file.read_text(encoding="utf-8")
    (tmp_path / "targets").mkdir()
    (tmp_path / "targets" / "iso.toml").write_text(text.replace(*change), encoding="utf-8")
    project = Project(tmp_path)
    problems = [entry.problem for entry in read_targets(project)[1].values()]
    assert re.search(message, "".join(problems))
    assert "aperture" in list_targets(project)


@pytest.mark.parametrize(
    ("classes", "message"),
    [
        (('name = "a", from = "1/500", to = "1/2000"', 'name = "b", from = "1/60"'), "'from' of class 'a' is greater"),
        (('name = "a", to = "1/10"', 'name = "b", from = "1/60"'), "'a' and 'b' overlap"),
        (('name = "a", to = "0,5"', 'name = "b", from = 1'), "'0,5' is not a number such as 0.5 or 1/250"),
        (('name = "a", to = "1/0"', 'name = "b", from = 1'), "'1/0' is not a number"),
        (('name = "a", to = inf', 'name = "b", from = 1'), "classes.0.to: must be a finite number."),
        (('name = "a", from = 1, to = 2',), "classes: at least 2 are needed, not 1."),
        (('name = "Film", to = 1', 'name = "film", from = 2'), "'Film' and 'film' have the same name"),
        (('name = "1/60", to = 1', 'name = "1-60", from = 2'), "share a folder"),
        (('name = "Jos\\u00e9", to = 1', 'name = "Jose\\u0301", from = 2'), "have the same name"),
    ],
)
def test_impossible_classes_are_refused(tmp_path: Path, classes: tuple[str, ...], message: str) -> None:
    define(tmp_path, "x", classes)
    with pytest.raises(UsageError, match=re.escape(message)):
        get_target("x", Project(tmp_path))


def define(folder: Path, name: str, classes: tuple[str, ...], encoding: str = "utf-8") -> None:
    """Write a definition to the folder ``targets`` of a project."""
    (folder / "targets").mkdir(exist_ok=True)
    head = 'name = "x"\nversion = "1"\nby = "shutter"\nsummary = "s"\n'
    text = f"{head}classes = [{', '.join(f'{{ {item} }}' for item in classes)}]\n"
    (folder / "targets" / f"{name}.toml").write_text(text, encoding=encoding)


def test_definition_files_are_read_strictly(tmp_path: Path) -> None:
    classes = ('name = "b", from = "1/60"', 'name = "a", to = "1/500"')
    define(tmp_path, "x", classes, "utf-8-sig")
    assert get_target("x", Project(tmp_path)).classes == ("b", "a")
    define(tmp_path, "x_backup", classes)
    (tmp_path / "targets" / "x_backup.toml").rename(tmp_path / "targets" / "x_backup.TOML")
    with pytest.raises(UsageError, match=r"x\.toml and x_backup\.TOML both define the target 'x'"):
        get_target("x", Project(tmp_path))


@pytest.mark.parametrize(
    ("target", "column", "values"),
    [
        ("shutter", "exposure_time_s", (1 / 6000, 1 / 3000, 1 / 1500, 1 / 750, 1 / 350, 1 / 180, 1 / 90, 1 / 45)),
        ("shutter", "exposure_time_s", (0.7, 1.5, 3.0, 6.0, 12.0, 24.0)),
        ("aperture", "f_number", (1.2, 1.7, 2.4, 3.3, 4.8, 6.7, 9.5)),
        ("iso", "iso", (70.0, 140.0, 280.0, 560.0, 1100.0)),
    ],
)
def test_half_stops_are_excluded_alike(target: str, column: str, values: tuple[float, ...]) -> None:
    assert [decide(target, **{column: value})[0] for value in values] == [None] * len(values)


@pytest.mark.parametrize(
    ("target", "column", "series", "ambiguous"),
    [
        ("shutter", "exposure_time_s", NOMINAL_EXPOSURE_TIMES_S, {1 / 6, 6.0}),  # both third and half stops
        ("aperture", "f_number", NOMINAL_F_NUMBERS, {1.2}),
        ("iso", "iso", NOMINAL_ISOS, set()),
    ],
)
def test_third_stops_have_the_nearest_class(
    target: str, column: str, series: tuple[float, ...], ambiguous: set[float]
) -> None:
    for value in series:
        name, _, reason = decide(target, **{column: value})
        assert name is not None or value in ambiguous or reason == "outside the classes", value


@pytest.mark.parametrize(
    ("target", "column", "value", "expected"),
    [
        ("aperture-binary", "f_number", 2 ** (2970854 / 1000000 / 2), "wide"),
        ("aperture-binary", "f_number", 2**1.5, "wide"),
        ("shutter-binary", "exposure_time_s", 2**-7.965784, "fast"),
        ("shutter-binary", "exposure_time_s", 1 / 64, "slow"),
        ("shutter-binary", "exposure_time_s", 16666 / 1000000, "slow"),
        ("shutter-binary", "exposure_time_s", 1 / 80, None),
        ("aperture-binary", "f_number", 3.2, None),
    ],
)
def test_bounds_take_exact_and_nominal_values(target: str, column: str, value: float, expected: str | None) -> None:
    assert decide(target, **{column: value})[0] == expected


@pytest.mark.parametrize("value", ["FILM", " film ", "Film"])
def test_class_names_are_compared_without_case(value: str) -> None:
    assert get_target("medium").parse_value(value) == "film"


def test_failing_plugin_excludes_the_photograph(catalogue: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    catalogue.photograph(medium="film")
    target = get_target("medium")
    for result, reason in (
        ("x|y", "invalid class: Target medium allows one class"),
        (7, "medium failed: AttributeError"),
    ):
        monkeypatch.setattr(type(target), "decide", lambda *_, result=result: (result, None, ""))
        (outcome,) = apply(catalogue.engine, [target]).values()
        assert [text[: len(reason)] for text in outcome.excluded] == [reason]


def test_unknown_target_suggests_nearest_name() -> None:
    with pytest.raises(UsageError, match="did you mean shutter"):
        get_target("shuter")


def test_manual_targets_are_made_without_python(catalogue: Any) -> None:
    catalogue.photograph(iso=100.0)
    run_json("labels", "target", "new", "indoor", "--classes", "indoor,outdoor")
    run_json("labels", "target", "new", "mood", "--classes", "calm, wild", "--multiple")
    run_json("labels", "target", "new", "note", "--text")
    run_json("labels", "target", "new", "stars", "--rating", "5")
    (Path("targets") / "broken.toml").write_text("name =")
    labels = ["indoor=Indoor", "mood=wild|calm", "note=A house, by the sea", "stars=4"]
    values = run_json("labels", "set", "1.jpg", *labels)
    assert values["photographs"]
    (row,) = run_json("catalogue", "list", "--columns", "label.indoor,label.mood,label.note,label.stars")
    assert list(row.values()) == ["indoor", "calm|wild", "A house, by the sea", "4"]
    assert run_json("catalogue", "list", "--where", "label.stars:4")
    assert get_target("stars", catalogue.project).number_of("4") == 4.0
    assert 'by = "manual"' in (Path("targets") / "indoor.toml").read_text()
    problems = {target["name"]: target["problem"] for target in run_json("labels", "targets", code=1)}
    assert "not valid TOML" in problems.pop("broken")
    assert {*problems.values()} == {None}
    assert run_json("labels", "apply", "indoor", code=1)["indoor"]["excluded"] == {"labelled manually only": 1}


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["Bad name", "--classes", "a,b"], "use lower-case letters"),
        (["../x", "--text"], "use lower-case letters"),
        (["x"], "Give one of --classes"),
        (["x", "--text", "--rating", "5"], "Give one of --classes"),
        (["x", "--classes", "a"], "two classes or more"),
        (["x", "--classes", "a,A"], "the same name"),
        (["x", "--classes", "a,,b"], "class name ''"),
        (["x", "--text", "--multiple"], "--multiple needs --classes"),
        (["medium", "--text"], "a target 'medium' already"),
    ],
)
def test_impossible_manual_targets_are_refused(catalogue: Any, args: list[str], message: str) -> None:
    assert message in run_error("labels", "target", "new", *args)
    assert not list(Path("targets").glob("*"))
