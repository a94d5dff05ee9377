"""``lightmeter serve archive``: what an archive contains, and how archives are validated."""

import json
import os
import zipfile
from pathlib import Path

import pytest

import lightmeter
from lightmeter.errors import UsageError
from lightmeter.models.evaluation import engine_agreement
from lightmeter.project import Project
from lightmeter.serve.archive import copy_archive, write_archive
from lightmeter.serve.handler.service import PredictionService
from tests.models.conftest import make_dataset
from tests.serve.support import make_photo, make_run, run_in_project
from tests.support import create_project

CODE_FOLDERS = (
    "lightmeter/images",
    "lightmeter/models/runtime",
    "lightmeter/models/architectures",
    "lightmeter/serve/handler",
)


def read_members(path: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(path) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def test_archive_contains_run_code_and_manifest(serve_project: Project) -> None:
    members = read_members(serve_project.archives / "tiny.mar")

    assert json.loads(members["MAR-INF/MANIFEST.json"])["model"] == {
        "modelName": "tiny",
        "modelVersion": "1.0",
        "handler": "lightmeter.serve.handler.handler",
    }
    assert {"run/model.safetensors", "run/model.toml", "run/metrics.json", "run/README.md"} <= set(members)


def test_code_folders_are_copied_whole_and_nothing_else_of_the_package(serve_project: Project) -> None:
    members = read_members(serve_project.archives / "tiny.mar")
    package = Path(lightmeter.__file__).parent
    code = {name for name in members if name.startswith("lightmeter/")}
    copied = {name for name in code if name.startswith(CODE_FOLDERS)}

    assert copied == {
        file.relative_to(package.parent).as_posix()
        for folder in CODE_FOLDERS
        for file in (package.parent / folder).rglob("*.py")
    }
    assert {name for name in code - copied if not name.endswith("__init__.py")} == {"lightmeter/exposure.py"}
    assert [members[f"{name}/__init__.py"] for name in ("lightmeter", "lightmeter/models", "lightmeter/serve")] == [
        b""
    ] * 3


def test_engine_is_compared_with_torch_before_it_is_archived(
    serve_project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = make_dataset(tmp_path / "data" / "noise-v1").folder
    command = ["serve", "archive", "tiny", "--engine", "openvino", "--out", tmp_path / "tiny.mar"]
    assert "data set" in run_in_project(*command, project=serve_project).error
    written = run_in_project(*command, "--data", data, project=serve_project).document
    assert written["engine"] == "openvino"
    assert 0 <= written["agreement"]["difference"] <= engine_agreement.MAX_DIFFERENCE
    assert written["agreement"]["photographs"] == 12
    with zipfile.ZipFile(tmp_path / "tiny.mar") as archive:
        archive.extractall(tmp_path / "model")
    card = (tmp_path / "model/run/README.md").read_text(encoding="utf-8")
    assert f"at most {written['agreement']['difference']:.1e}" in card
    response = PredictionService.load(tmp_path / "model/run").respond({"body": make_photo()}, explain=True)
    assert (response.status, response.document["engine"]) == (200, "openvino")
    monkeypatch.setattr(engine_agreement, "MAX_DIFFERENCE", -1.0)
    refused = run_in_project(*command, "--data", data, project=serve_project)
    assert refused.code == 1
    assert "differ from those of torch" in refused.error


def test_same_run_gives_same_bytes(serve_project: Project, tmp_path: Path) -> None:
    first, second = tmp_path / "first.mar", tmp_path / "second.mar"
    result = run_in_project("serve", "archive", "tiny", "--out", first, project=serve_project).document
    os.utime(serve_project.runs / "tiny" / "model.toml")
    repeated = run_in_project("serve", "archive", "tiny", "--out", second, project=serve_project).document

    assert result["sha256"] == repeated["sha256"]
    assert result["dataset"] == "ab" * 32
    assert first.read_bytes() == second.read_bytes()


def test_name_and_version_options_change_the_archived_model(serve_project: Project, tmp_path: Path) -> None:
    options = ["--name", "other", "--version", "2.1", "--out", tmp_path]
    result = run_in_project("serve", "archive", "tiny", *options, project=serve_project).document

    assert (result["archive"], result["name"], result["version"]) == (str(tmp_path / "other.mar"), "other", "2.1")
    assert b'name = "other"\nversion = "2.1"' in read_members(tmp_path / "other.mar")["run/model.toml"]


def test_damaged_run_is_not_archived(tmp_path: Path) -> None:
    project = create_project(tmp_path / "project")
    weights = make_run(project.runs / "tiny", "tiny") / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-100])

    result = run_in_project("serve", "archive", "tiny", project=project)

    assert result.code == 2
    assert "model.safetensors" in result.document["error"]
    assert not project.archives.exists()


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["nowhere"], "nowhere"),
        (["tiny", "--name", "../up"], "Invalid model name '../up'"),
        (["tiny", "--version", "1/2"], "Invalid model version '1/2'"),
    ],
)
def test_invalid_arguments_raise_usage_error(serve_project: Project, args: list[str], message: str) -> None:
    result = run_in_project("serve", "archive", *args, project=serve_project)

    assert result.code == 2
    assert message in result.document["error"]


def malicious_archive(path: Path, out: Path, change: str) -> Path:
    """Write a changed copy of an archive."""
    with zipfile.ZipFile(out, "w") as archive:
        for name, content in read_members(path).items():
            if change == "no-manifest" and name.startswith("MAR-INF"):
                continue
            if name == BLANKS.get(change):
                archive.writestr(name, b" " * 50_000_000, zipfile.ZIP_DEFLATED)
                continue
            greedy = change == "many-patches" and name == "run/model.toml"
            archive.writestr(name, content.replace(b"patches = 2", b"patches = 10000") if greedy else content)
        for name in ADDED_MEMBERS.get(change, ()):
            archive.writestr(name, "")
        if change == "link":
            link = zipfile.ZipInfo("models/link")
            link.external_attr = 0o120777 << 16
            archive.writestr(link, "/etc/passwd")
    out.write_bytes(CHANGED_BYTES.get(change, bytes)(out.read_bytes()))
    return out


def flip_byte(archive: bytes) -> bytes:
    middle = len(archive) // 2
    return archive[:middle] + bytes([archive[middle] ^ 255]) + archive[middle + 1 :]


def claim_gigabytes(archive: bytes) -> bytes:
    """Set the uncompressed size of three members to 4 GB (APPNOTE.TXT 4.3.12: bytes 24 to 27 of an entry)."""
    content = bytearray(archive)
    offset = 0
    for _ in range(3):
        offset = content.index(b"PK\x01\x02", offset) + 24
        content[offset : offset + 4] = (0xFFFFFFFE).to_bytes(4, "little")
    return bytes(content)


ADDED_MEMBERS = {
    "parent": ["../up.py"],
    "absolute": ["/etc/up.py"],
    "drive": ["c:/up.py"],
    "duplicate": ["run/more", "run/more"],
    "many-members": [f"run/{number}" for number in range(1000)],
}
BLANKS = {"large-manifest": "MAR-INF/MANIFEST.json", "large-spec": "run/model.toml"}
"""Members that are blanks without end, which compress well."""
CHANGED_BYTES = {
    "truncated": lambda archive: archive[:5000],
    "text": lambda _: b"no archive",
    "flipped": flip_byte,
    "large": claim_gigabytes,
}


@pytest.mark.filterwarnings("ignore:Duplicate name")
@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("no-manifest", "not an archive of a Lightmeter model"),
        ("parent", "'../up.py' would be written outside"),
        ("absolute", "'/etc/up.py' would be written outside"),
        ("drive", "'c:/up.py' would be written outside"),
        ("link", "'models/link' is neither a file nor a folder"),
        ("duplicate", "two of its members have the same name"),
        ("many-members", "larger than any model"),
        ("large", "larger than any model"),
        ("truncated", "not an archive, or is damaged"),
        ("text", "not an archive, or is damaged"),
        ("flipped", "damaged"),
        ("large-manifest", "'MAR-INF/MANIFEST.json' has more than 1,000,000 bytes"),
        ("large-spec", "'run/model.toml' has more than 1,000,000 bytes"),
        ("many-patches", "patches must be between"),
    ],
)
def test_malicious_archive_is_refused(serve_project: Project, tmp_path: Path, change: str, message: str) -> None:
    archive = malicious_archive(serve_project.archives / "tiny.mar", tmp_path / f"{change}.mar", change)

    result = run_in_project("serve", "start", archive, "--server", "malicious", project=serve_project)

    assert result.code == 2
    assert str(archive) in result.document["error"]
    assert message in result.document["error"]
    assert "Traceback" not in result.error


def test_served_copy_has_the_validated_members_only(serve_project: Project, tmp_path: Path) -> None:
    original = serve_project.archives / "tiny.mar"
    hidden = tmp_path / "hidden.mar"
    with zipfile.ZipFile(hidden, "w") as archive:  # a member that the directory of the archive does not list
        archive.writestr("../../hidden.py", "")
        archive.filelist.clear()
        archive.NameToInfo.clear()
        for name, content in read_members(original).items():
            archive.writestr(name, content)
    assert b"hidden.py" in hidden.read_bytes()

    same = copy_archive(original, tmp_path / "same.mar")
    copy = copy_archive(hidden, tmp_path / "copy.mar")

    assert same.path.read_bytes() == copy.path.read_bytes() == original.read_bytes()


@pytest.mark.parametrize("name", ["README.md", "metrics.json", "model.toml", "model.safetensors"])
@pytest.mark.parametrize("kind", ["link", "pipe", "folder"])
def test_only_the_files_of_a_run_are_archived(tmp_path: Path, name: str, kind: str) -> None:
    run = make_run(tmp_path / "run", "tiny")
    file = run / name
    file.unlink()
    make = {"link": lambda: file.symlink_to("/etc/passwd"), "pipe": lambda: os.mkfifo(file), "folder": file.mkdir}
    make[kind]()

    with pytest.raises(UsageError, match=f"{name} is not a regular file"):
        write_archive(run, tmp_path / "out")
    assert not (tmp_path / "out").exists()
