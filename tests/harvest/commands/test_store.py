"""``lightmeter store check``, and what a full or damaged store means for a harvest."""

import json
from pathlib import Path

import pytest

from lightmeter.harvest.catalogue.database.session import open_engine
from lightmeter.harvest.store import check
from lightmeter.project import Project
from lightmeter.store.base import Fault, StoreError
from lightmeter.store.local import LocalStore
from tests.support import run_json, run_text


def _stored(project: Project) -> list[Path]:
    return sorted(path for path in project.store.root.rglob("*") if path.is_file())


def test_faults_are_named_and_repaired(harvested: Project) -> None:
    assert "7 files: 0 damaged, 0 missing, 0 orphans" in run_text("store", "check")
    damaged, missing = _stored(harvested)[:2]
    damaged.chmod(0o644)
    damaged.write_bytes(b"other bytes")
    missing.unlink()
    orphan = harvested.store.path("0" * 64)
    orphan.parent.mkdir(exist_ok=True)
    orphan.touch()

    report = run_json("store", "check", code=1)
    assert [row["sha256"] for row in report["damaged"]] == [damaged.name]
    assert [row["sha256"] for row in report["missing"]] == [missing.name]
    assert report["damaged"][0]["sightings"][0]["source"] == "folder"
    assert report["orphans"] == [f"00/{orphan.name}"]

    assert run_json("store", "check", "--repair")["repaired"]
    assert not damaged.exists()
    assert not orphan.exists()
    reasons = {(row["reason"], row["count"]) for row in run_json("harvest", "status")["total"]["reasons"]}
    assert ("store", 2) in reasons


def test_interrupted_check_continues(harvested: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(check, "_BATCH", 2)
    engine, checked = open_engine(harvested), []

    def hash_or_interrupt(store: LocalStore, sha256: str) -> Fault | None:
        checked.append(sha256)
        if len(checked) == 5:
            raise KeyboardInterrupt
        return hash_file(store, sha256)

    hash_file = LocalStore.fault
    monkeypatch.setattr(LocalStore, "fault", hash_or_interrupt)
    with pytest.raises(KeyboardInterrupt):
        check.check_store(engine, harvested, repair=False)
    assert json.loads((harvested.state / "store-check.json").read_text())["checked"] == 4
    assert check.check_store(engine, harvested, repair=False).checked == 7
    assert len(checked) == 5 + 3
    engine.dispose()


def test_damaged_file_is_replaced_by_the_next_put(tmp_path: Path) -> None:
    store = LocalStore(tmp_path / "store")
    sha256 = "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824"  # of hello
    assert not store.put(sha256, b"hello")
    assert not store.put(sha256, b"hello")
    file = store.path(sha256)
    file.chmod(0o644)
    for damage in (b"hell", b"jello"):
        file.write_bytes(damage)
        assert store.put(sha256, b"hello")
        assert file.read_bytes() == b"hello"
        file.chmod(0o644)
    store.close()
    assert list((store.root / ".incoming").iterdir()) == []


def test_store_that_cannot_be_written_to_leaves_no_partial_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = LocalStore(tmp_path / "store")

    def fill_the_disk(path: Path, data: bytes) -> int:
        with path.open("wb") as file:
            file.write(data[:1])
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", fill_the_disk)
    with pytest.raises(StoreError, match="No space left on device"):
        store.put("0" * 64, b"hello")
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


def test_link_in_place_of_the_state_of_a_check_is_removed(harvested: Project, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere.json"
    elsewhere.write_text('{"checked": 4, "last": 4}')
    (harvested.state / "store-check.json").symlink_to(elsewhere)
    assert run_json("store", "check")["checked"] == 7
    assert elsewhere.read_text() == '{"checked": 4, "last": 4}'
    assert not (harvested.state / "store-check.json").is_symlink()
