"""Finding labels that may be wrong, and how far people agree."""

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sqlalchemy import insert

from lightmeter.cli import main
from lightmeter.harvest.catalogue.models import Inspection
from lightmeter.labels.annotations.agreement import kappa
from lightmeter.labels.annotations.rules import apply
from lightmeter.labels.review.queues import build_queue
from lightmeter.labels.targets.registry import get_target
from lightmeter.models.training.runs import write_predictions
from tests.support import run_json


def suspects(*options: str) -> dict[int, str]:
    return {one["image_id"]: "; ".join(one["reasons"]) for one in run_json("labels", "audit", "medium", *options)}


def test_contradictions_are_found_and_become_a_review_queue(any_catalogue: Any) -> None:
    fine = any_catalogue.photograph(medium="digital", owner="ann", make="Canon", model="EOS", f_number=2.8, iso=100.0)
    overruled = any_catalogue.photograph(medium="digital", owner="bob")
    exposed = any_catalogue.photograph(medium="film", exposure_time_s=0.01)
    same = {"owner": "eve", "make": "Canon", "model": "EOS", "f_number": 4.0, "exposure_time_s": 0.01, "iso": 200.0}
    twins = [any_catalogue.photograph(medium=medium, **same) for medium in ("film", "digital")]
    pair = [any_catalogue.photograph(medium=medium, phash="00ff00ff00ff00ff") for medium in ("film", "digital")]
    apply(any_catalogue.engine, [get_target("medium")])
    run_json("labels", "set", "2.jpg", "medium=film", "--author", "ann")
    found = suspects("--no-model")
    assert found.keys() == {overruled, exposed, *twins, *pair}
    assert found[overruled] == "contradiction (hand ann: film, rule: digital)"
    assert found[exposed] == "film with an exposure of 0.01 s in EXIF"
    assert "identical settings is film" in found[twins[1]]
    assert "near-identical picture is digital" in found[pair[0]]
    with any_catalogue.engine.connect() as connection:
        queue = build_queue(connection, any_catalogue.project, "medium", kind="suspects")
        assert {row["id"] for row in queue.page(connection, 0, 99)} == found.keys()
    assert fine not in suspects("--no-model", "--where", "owner = ann")


def test_a_model_doubts_planted_errors(catalogue: Any) -> None:
    pytest.importorskip("cleanlab")
    random = np.random.default_rng(0)
    rows = []
    for index in range(120):
        film = index % 2 == 0
        planted = index in {10, 33, 72}
        image = catalogue.photograph(medium="film" if film != planted else "digital", owner=str(index))
        measures = {"noise": float(random.normal(8 if film else 2, 0.5))}
        rows.append({"image_id": image, "filter": "quality", "version": 1, "verdict": "keep", "measures": measures})
    with catalogue.engine.begin() as connection:
        connection.execute(insert(Inspection), rows)
    apply(catalogue.engine, [get_target("medium")])
    assert set(suspects()) == {11, 34, 73}


def test_a_trained_model_doubts_labels_until_they_are_corrected(
    catalogue: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("cleanlab")
    random = np.random.default_rng(0)
    predictions = []
    for index in range(80):
        image = catalogue.photograph(medium=("film", "digital")[index % 2])
        sure = random.uniform(0.8, 0.95) if index != 17 else 0.04
        predictions.append(
            {
                "sha256": hashlib.sha256(str(image).encode()).hexdigest(),
                "split": "train" if index < 10 else "validation",
                "target": "medium",
                "truth": ("film", "digital")[index % 2],
                "probabilities": [sure, 1 - sure][:: 1 if index % 2 else -1],
            }
        )
    apply(catalogue.engine, [get_target("medium")])
    run = tmp_path / "run"
    run.mkdir()
    (run / "model.toml").write_text('[[targets]]\nname = "medium"\nclasses = ["digital", "film"]\n')
    write_predictions(run, predictions)
    assert suspects("--run", str(run)) == {18: "a model doubts it (96 % against)"}
    run_json("labels", "set", "18.jpg", "medium=film", "--author", "ann")
    assert suspects("--run", str(run)) == {18: "contradiction (hand ann: film, rule: digital)"}
    (run / "predictions.parquet").write_bytes(b"damaged")
    assert main(["labels", "audit", "medium", "--run", str(run)]) == 2
    assert "holds no predictions of medium" in capsys.readouterr().err


def test_an_audit_without_a_run_or_of_nothing(catalogue: Any, capsys: pytest.CaptureFixture[str]) -> None:
    assert suspects() == {}
    assert main(["labels", "audit", "medium", "--run", "nowhere"]) == 2
    assert "holds no predictions of medium" in capsys.readouterr().err
    assert main(["labels", "review", "iso", "--queue", "suspects"]) == 2
    assert "run 'lightmeter labels audit iso'" in capsys.readouterr().err


def test_two_people_agree_so_far(catalogue: Any, capsys: pytest.CaptureFixture[str]) -> None:
    for index in range(1, 21):
        catalogue.photograph()
        run_json("labels", "set", f"{index}.jpg", f"medium={'film' if index <= 10 else 'digital'}", "--author", "ann")
        if index <= 18:
            said = "film" if index <= 12 else "digital"
            run_json("labels", "set", f"{index}.jpg", f"medium={said}", "--author", "bob")
    found = run_json("labels", "agree", "medium", "ann", "bob")
    assert found["photographs"] == 18
    assert found["confusion"] == {"digital": {"digital": 6, "film": 2}, "film": {"digital": 0, "film": 10}}
    assert found["kappa"] == pytest.approx((16 / 18 - 168 / 324) / (1 - 168 / 324))
    assert found["interval"][0] < found["kappa"] < found["interval"][1] <= 1
    assert main(["labels", "agree", "medium", "ann", "eve"]) == 2
    assert "no photograph of which both" in capsys.readouterr().err


def test_kappa_agrees_with_scikit_learn() -> None:
    from sklearn.metrics import cohen_kappa_score

    random = np.random.default_rng(1)
    first = random.integers(4, size=300)
    second = np.where(random.random(300) < 0.6, first, random.integers(4, size=300))
    table = np.zeros((4, 4), dtype=np.int64)
    np.add.at(table, (first, second), 1)
    assert kappa(table) == pytest.approx(cohen_kappa_score(first, second))
