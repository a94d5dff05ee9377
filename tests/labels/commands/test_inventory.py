"""``list`` and ``remove`` of data sets, runs and harvest runs, and the nearest names for wrong ones."""

from pathlib import Path
from typing import Any

from filelock import FileLock

from tests.support import run_error, run_json, run_text


def test_data_sets_and_runs_are_listed_and_removed(catalogue: Any) -> None:
    for number in range(40):
        catalogue.photograph(iso=(100.0, 400.0)[number % 2], owner=f"owner {number}")
    run_json("labels", "apply", "iso")
    sha256 = run_json("labels", "split", "a", "--target", "iso")["manifest_sha256"]
    run_json("labels", "split", "folds", "--target", "iso", "--folds", "3", "--seed", "1")
    run = Path("runs") / "model"
    run.mkdir(parents=True)
    (run / "model.toml").write_text(f"[data]\nmanifest_sha256 = '{sha256}'")
    (Path("datasets") / "broken").mkdir()
    (Path("datasets") / "broken" / "dataset.toml").write_text("name =")
    entries = {row["name"]: row for row in run_json("labels", "list")}
    assert list(entries) == ["a", "broken", "folds/fold-1", "folds/fold-2", "folds/fold-3"]
    assert entries["a"]["used_by"] == ["the run model"]
    assert entries["broken"]["problem"]
    assert "the run model" in run_text("labels", "list")
    assert "in use by the run model" in run_error("labels", "remove", "a", "--yes")
    assert "did you mean a" in run_error("labels", "remove", "aa", "--yes")
    assert "confirm with --yes" in run_error("labels", "remove", "folds")
    for name in ("folds", "broken"):
        run_json("labels", "remove", name, "--yes")
    run_json("labels", "remove", "datasets/a", "--yes", "--force")
    assert run_json("labels", "list") == []
    assert not list(Path("datasets").iterdir())
    for name in ("../runs/model", "..", "."):
        assert "Unknown data set" in run_error("labels", "remove", name, "--yes", "--force")

    (Path("runs") / "next.partial").mkdir()
    states = {row["name"]: row["state"] for row in run_json("models", "list")}
    assert states == {"model": "damaged", "next": "interrupted"}
    with FileLock(Path("runs") / ".next.lock"):
        assert {row["state"] for row in run_json("models", "list")} == {"damaged", "training"}
        assert "being trained" in run_error("models", "remove", "next", "--yes")
    assert "Unknown run" in run_error("models", "remove", "../project", "--yes")
    for name in ("next", "model"):
        run_json("models", "remove", name, "--yes")
    assert run_json("models", "list") == []
    assert run_json("serve", "list") == {"archives": [], "servers": []}

    (harvest,) = run_json("harvest", "list")
    assert (harvest["found"], harvest["photographs"]) == (40, 40)
    assert "catalogue remove --where run:1" in run_error("harvest", "remove", "1", "--yes")
    assert "Unknown run '7'" in run_error("harvest", "remove", "7", "--yes")
    run_json("catalogue", "remove", "--where", "run:1", "--yes")
    run_json("harvest", "remove", "1", "--yes")
    assert run_json("harvest", "list") == []


def test_wrong_names_are_answered_with_the_nearest(catalogue: Any) -> None:
    for args, nearest in {
        ("lables",): "labels",
        ("labels", "reviw"): "review",
        ("harvest", "run", "webseite"): "website",
        ("labels", "review", "medium", "--queue", "label-isues"): "label-issues",
        ("harvest", "crops", "out", "--kind", "insde"): "inside",
        ("models", "evaluate", "defualt"): "default",
        ("catalogue", "export", "a.csv", "--columns", "shuter"): "shutter",
        ("labels", "stats", "Medum"): "medium",
    }.items():
        assert f"did you mean {nearest}" in run_error(*args), args
    for line, nearest in {"[inspect]\nmax_pixel = 1": "max_pixels", "[crawll]\nx = 1": "crawl"}.items():
        settings = Path("lightmeter.toml").read_text()
        Path("lightmeter.toml").write_text(f"{settings}\n{line}\n")
        assert f"did you mean {nearest}" in run_error("catalogue", "info")
        Path("lightmeter.toml").write_text(settings)
