"""Data sets that grow, and how two of them differ."""

from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import update

from lightmeter.harvest.catalogue.models import Image
from lightmeter.labels.datasets.dataset import read_dataset
from tests.labels.datasets.helpers import FAST, SLOW, add_photographers, apply_rules, create_dataset
from tests.support import run_error, run_json, run_text


def splits(name: str) -> dict[str, str]:
    return {row["sha256"]: row["split"] for row in read_dataset(Path("datasets") / name).rows()}


def add(catalogue: Any, owners: list[str], each: int = 4, **values: Any) -> None:
    for owner in owners:
        for index in range(each):
            catalogue.photograph(owner=owner, exposure_time_s=(FAST, SLOW)[index % 2], **values)
    apply_rules(catalogue, "shutter-binary")


def test_extended_data_set_keeps_every_photograph_in_its_split(catalogue: Any) -> None:
    add_photographers(catalogue, photographers=12)
    create_dataset("--seed", "3", "--ratios", "60/20/20", name="v1")
    before = splits("v1")
    add(catalogue, [f"new {number}" for number in range(8)])
    add(catalogue, ["Person 1", " person  2 "])  # more of the photographers of v1
    run_json("labels", "set", "1.jpg", "shutter-binary=slow", "--author", "ann")
    document = run_json("labels", "split", "v2", "--extend", "v1")
    after = splits("v2")
    assert {sha256: after[sha256] for sha256 in before} == before
    assert len(after) == len(before) + 40
    shares = [document["splits"][split] / len(after) for split in ("train", "validation", "test")]
    assert shares == pytest.approx([0.6, 0.2, 0.2], abs=0.06)
    (text,) = [text for text in document["advisories"] if text.startswith("Extends v1: ")]
    assert "40 photographs added (" in text
    assert "with a different split" not in text
    (violation,) = run_json("labels", "verify", "v2", code=1)["violations"]  # these photographs have no files
    assert violation["description"] == "photographs missing in the store"

    # The query selects only new photographs. A test photograph that v2 loses is one again when it comes back.
    lost = next(sha256 for sha256, split in after.items() if split == "test")
    set_problem(catalogue, lost, "damaged")
    add(catalogue, ["Ann", "Bob"])
    v3 = extend("v3", "v2", "owner = ' ANN'")
    kept = {sha256: split for sha256, split in after.items() if sha256 != lost}
    assert {sha256: v3.get(sha256) for sha256 in kept} == kept
    assert {row["owner"] for row in read_dataset(Path("datasets/v3")).rows() if row["sha256"] not in kept} == {"Ann"}
    for file in ("README.md", "card.html", "croissant.json"):
        text = Path("datasets/v3", file).read_text(encoding="utf-8")
        assert "Photographs that v2 does not have were selected by the query" in text, file
    set_problem(catalogue, lost, None)
    assert lost not in extend("v4", "v3", "owner = ann")
    v5 = extend("v5", "v3")
    assert {sha256: v5[sha256] for sha256 in after} == after
    assert len(v5) == len(after) + 8


def set_problem(catalogue: Any, sha256: str, problem: str | None) -> None:
    with catalogue.engine.begin() as connection:
        connection.execute(update(Image).where(Image.sha256 == sha256).values(problem=problem))


def extend(name: str, base: str, where: str = "") -> dict[str, str]:
    run_json("labels", "split", name, "--extend", base, "--where", where)
    return splits(name)


def test_photographs_that_join_two_splits_are_refused(catalogue: Any) -> None:
    add_photographers(catalogue, photographers=12)
    dataset = create_dataset("--ratios", "60/20/20", name="v1")
    owners = {row["split"]: row["owner"] for row in dataset.rows()}
    catalogue.photograph(owner=owners["train"], also_at="folder", exposure_time_s=FAST, body="b" * 16)
    catalogue.photograph(owner=owners["test"], exposure_time_s=FAST, body="b" * 16)
    apply_rules(catalogue, "shutter-binary")
    error = run_error("labels", "split", "v2", "--extend", "v1")
    assert "2 new photographs (" in error
    assert "would join groups of train and test of v1" in error
    assert not Path("datasets/v2").exists()
    assert "leave --group out" in run_error("labels", "split", "v2", "--extend", "v1", "--group", "camera")


def test_diff_names_every_kind_of_change(catalogue: Any) -> None:
    add_photographers(catalogue)
    Path("targets").mkdir(exist_ok=True)
    fast, slow = '{ name = "fast", to = "1/500" }', '{ name = "slow", from = "1/60" }'
    for name, classes in (("x-v1", (fast, slow)), ("x-v2", (slow, fast)), ("x-v3", (slow.replace("60", "40"), fast))):
        text = f'name = "x"\nversion = "1"\nby = "shutter"\nsummary = "s"\nclasses = [{", ".join(classes)}]\n'
        Path("targets/x.toml").write_text(text)
        apply_rules(catalogue, "shutter-binary")
        run_json("labels", "apply", "x")
        create_dataset(name=name, target="x")
    changes = run_json("labels", "diff", "x-v1", "x-v2")["changes"]
    assert "order of the classes of x: fast, slow → slow, fast (both version 1)" in changes
    assert "'from' of class slow of x 0.0166667 → 0.025 (both version 1)" in run_text("labels", "diff", "x-v2", "x-v3")
    assert run_json("labels", "diff", "x-v3", "x-v3")["changes"] == []
    assert "'from' of class slow" in (Path("datasets/x-v3/README.md")).read_text(encoding="utf-8")
    error = run_error("labels", "split", "x-v2", "--target", "x")
    assert "exists with other options: 'from' of class slow" in error


def test_moved_project_keeps_its_history(catalogue: Any) -> None:
    add_photographers(catalogue)
    create_dataset(name="x-v1")
    moved = catalogue.project.root.parent / "moved?100%20"
    catalogue.engine.dispose()
    catalogue.project.root.rename(moved)
    document = run_json("labels", "split", "x-v2", "--target", "shutter-binary", project=moved)
    assert [text for text in document["advisories"] if text.startswith("Changes")] == ["Changes since x-v1: none."]


def test_few_groups_on_the_test_side_are_warned_of(catalogue: Any) -> None:
    add_photographers(catalogue)
    output = run_text("labels", "split", "one", "--target", "shutter-binary")
    assert "Warning: The test split has" in output
    assert "--folds 5" in output
    assert "The test split has fewer than 20 photographs or 5 groups of shutter-binary" in " ".join(output.split())
    assert "The train split has fewer" not in " ".join(output.split())
