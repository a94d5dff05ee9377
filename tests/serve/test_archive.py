"""``lightmeter serve archive``: one file that holds a model and all that it needs."""

import json
import os
import zipfile
from pathlib import Path

import pytest

from lightmeter.project import Project
from tests.serve.support import make_run
from tests.support import create_project, run_command


def members(path: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(path) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def test_an_archive_holds_run_predictor_and_handler(place: Project) -> None:
    inside = members(place.archives / "tiny.mar")

    assert json.loads(inside["MAR-INF/MANIFEST.json"])["model"] == {
        "modelName": "tiny",
        "modelVersion": "1.0",
        "handler": "lightmeter.serve.handler.handler",
    }
    assert {"run/model.safetensors", "run/model.toml", "run/README.md"} <= set(inside)
    assert {"models/predictor.py", "models/architectures/efficientnet_lite.py", "serve/handler.py"} <= set(inside)
    assert not any(name.startswith(("models/train", "models/recipes", "serve/server")) for name in inside)


def test_the_same_run_gives_the_same_bytes(place: Project, tmp_path: Path) -> None:
    first = run_command(
        "serve", "archive", "tiny", "--out", tmp_path / "one.mar", "--json", project=place.root
    ).document
    os.utime(place.runs / "tiny" / "model.toml")
    second = run_command(
        "serve", "archive", "tiny", "--out", tmp_path / "two.mar", "--json", project=place.root
    ).document

    assert first["sha256"] == second["sha256"]
    assert first["dataset"] == "ab" * 32
    assert (tmp_path / "one.mar").read_bytes() == (tmp_path / "two.mar").read_bytes()


def test_name_and_version_can_be_chosen_and_stand_in_the_answers(place: Project, tmp_path: Path) -> None:
    made = run_command(
        "serve",
        "archive",
        "tiny",
        "--name",
        "other",
        "--version",
        "2.1",
        "--out",
        tmp_path,
        "--json",
        project=place.root,
    ).document

    assert (made["archive"], made["name"], made["version"]) == (str(tmp_path / "other.mar"), "other", "2.1")
    assert b'name = "other"\nversion = "2.1"' in members(tmp_path / "other.mar")["run/model.toml"]


def test_a_run_that_is_damaged_is_not_archived(tmp_path: Path) -> None:
    project = create_project(tmp_path / "project")
    run = make_run(project.runs / "tiny", "tiny")
    weights = run / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-100])

    said = run_command("serve", "archive", "tiny", "--json", project=project.root)

    assert said.code == 2
    assert "model.safetensors" in said.document["error"]
    assert not project.archives.exists()


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["nowhere"], "nowhere is not a run folder"),
        (["tiny", "--name", "../up"], "'../up' cannot name a model"),
        (["tiny", "--version", "1/2"], "'1/2' cannot name a model or a version"),
    ],
)
def test_wrong_words_are_one_sentence(place: Project, words: list[str], sentence: str) -> None:
    said = run_command("serve", "archive", *words, "--json", project=place.root)

    assert said.code == 2
    assert sentence in said.document["error"]


def hostile(path: Path, change: str) -> Path:
    """Write an archive that somebody has tampered with."""
    out = path.with_name(f"{change}.mar")
    with zipfile.ZipFile(out, "w") as archive:
        for name, content in members(path).items():
            if not (change == "no-manifest" and name.startswith("MAR-INF")):
                many = change == "greedy" and name == "run/model.toml"
                archive.writestr(name, content.replace(b"patches = 2", b"patches = 10000") if many else content)
        for name in ADDED.get(change, ()):
            archive.writestr(name, "")
        if change == "link":
            link = zipfile.ZipInfo("models/link")
            link.external_attr = 0o120777 << 16
            archive.writestr(link, "/etc/passwd")
    out.write_bytes(SPOILT.get(change, bytes)(out.read_bytes()))
    return out


def flipped(archive: bytes) -> bytes:
    middle = len(archive) // 2
    return archive[:middle] + bytes([archive[middle] ^ 255]) + archive[middle + 1 :]


def claiming_gigabytes(archive: bytes) -> bytes:
    """Let the first three members say that they unpack to 4 GB each (APPNOTE.TXT 4.3.12: bytes 24 to 27 of an entry)."""
    content = bytearray(archive)
    place = 0
    for _ in range(3):
        place = content.index(b"PK\x01\x02", place) + 24
        content[place : place + 4] = (0xFFFFFFFE).to_bytes(4, "little")
    return bytes(content)


ADDED = {
    "up": ["../up.py"],
    "absolute": ["/etc/up.py"],
    "drive": ["c:/up.py"],
    "twice": ["run/more", "run/more"],
    "many": [f"run/{number}" for number in range(1000)],
}
SPOILT = {
    "cut": lambda archive: archive[:5000],
    "text": lambda _: b"no archive",
    "flipped": flipped,
    "large": claiming_gigabytes,
}


@pytest.mark.filterwarnings("ignore:Duplicate name")
@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ("no-manifest", "no archive of a Lightmeter model"),
        ("up", "'../up.py' would leave the folder"),
        ("absolute", "'/etc/up.py' would leave the folder"),
        ("drive", "'c:/up.py' would leave the folder"),
        ("link", "'models/link' is neither file nor folder"),
        ("twice", "two members of one name"),
        ("many", "larger than a model is"),
        ("large", "larger than a model is"),
        ("cut", "no archive, or is damaged"),
        ("text", "no archive, or is damaged"),
        ("flipped", "damaged"),
        ("greedy", "patches must be between"),
    ],
)
def test_an_archive_is_checked_before_it_is_loaded(place: Project, tmp_path: Path, change: str, sentence: str) -> None:
    run_command("serve", "archive", "tiny", "--out", tmp_path, "--json", project=place.root)
    bad = hostile(tmp_path / "tiny.mar", change)

    said = run_command("serve", "start", bad, "--server", "hostile", "--json", project=place.root)

    assert said.code == 2
    assert str(bad) in said.document["error"]
    assert sentence in said.document["error"]
    assert "Traceback" not in said.error
