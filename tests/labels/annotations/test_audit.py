"""Label issues, and agreement of annotators."""

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sqlalchemy import insert

from lightmeter.harvest.catalogue.models import Inspection
from lightmeter.labels.annotations.audit import read_label_issues
from lightmeter.labels.annotations.label_issues import find_label_issues
from lightmeter.labels.annotations.rules import apply
from lightmeter.labels.targets.registry import get_target
from lightmeter.models.training.runs import write_predictions
from tests.support import run_error, run_json


def audit_medium(*options: str) -> dict[int, str]:
    """Return the reasons of each label issue by image id."""
    return {issue["image_id"]: "; ".join(issue["reasons"]) for issue in run_json("labels", "audit", "medium", *options)}


def test_contradictions_are_reported_and_form_a_review_queue(any_catalogue: Any) -> None:
    consistent = any_catalogue.photograph(
        medium="digital", owner="ann", make="Canon", model="EOS", f_number=2.8, iso=100.0
    )
    overridden = any_catalogue.photograph(medium="digital", owner="bob")
    exposed = any_catalogue.photograph(medium="film", exposure_time_s=0.01)
    settings = {"owner": "eve", "make": "Canon", "model": "EOS", "f_number": 4.0, "exposure_time_s": 0.01, "iso": 200.0}
    same_settings = [any_catalogue.photograph(medium=medium, **settings) for medium in ("film", "digital")]
    duplicates = [any_catalogue.photograph(medium=medium, phash="00ff00ff00ff00ff") for medium in ("film", "digital")]
    apply(any_catalogue.engine, [get_target("medium")])
    run_json("labels", "set", "2.jpg", "medium=film", "--author", "ann")
    issues = {issue["image_id"]: issue for issue in run_json("labels", "audit", "medium", "--no-model")}
    assert issues[overridden]["file"] == "2.jpg"
    assert issues[overridden]["url"].endswith(f"/?target=medium&q=sha256+%3D+{issues[overridden]['sha256']}")
    reasons = {image: "; ".join(issue["reasons"]) for image, issue in issues.items()}
    assert reasons.keys() == {overridden, exposed, *same_settings, *duplicates}
    assert reasons[overridden] == "contradiction (manual ann: film, rule: digital)"
    assert reasons[exposed] == "film with an exposure time of 0.01 s in EXIF"
    assert "identical settings as" in reasons[same_settings[1]]
    assert "labelled film" in reasons[same_settings[1]]
    assert "near-duplicate of" in reasons[duplicates[0]]
    assert "labelled digital" in reasons[duplicates[0]]
    assert set(read_label_issues(any_catalogue.project, "medium")) == reasons.keys()
    assert consistent not in audit_medium("--no-model", "--where", "owner = ann")


@pytest.mark.parametrize("photographers", [1, 3, 30])
def test_random_forest_disputes_the_wrong_label(catalogue: Any, photographers: int) -> None:
    pytest.importorskip("cleanlab")
    random = np.random.default_rng(0)
    rows = []
    for index in range(60):
        film = (index % 2 == 0) ^ (index == 31)  # one label is wrong
        owner = f"person {index // 2 % photographers}"
        image = catalogue.photograph(medium="film" if film else "digital", owner=owner)
        measures = {"noise": float(random.normal(2 if index % 2 else 8, 0.5))}
        rows.append({"image_id": image, "filter": "quality", "version": 1, "verdict": "keep", "measures": measures})
    with catalogue.engine.begin() as connection:
        connection.execute(insert(Inspection), rows)
    apply(catalogue.engine, [get_target("medium")])
    assert set(audit_medium()) == {32}


def test_poor_model_disputes_nothing_and_a_good_one_little() -> None:
    pytest.importorskip("cleanlab")
    random = np.random.default_rng(0)
    labels = random.integers(2, size=400)
    for accuracy, most in ((0.7, 0), (0.9, 20), (1.0, 0)):
        shown = np.where(random.random(400) < accuracy, labels, 1 - labels)
        confidence = random.uniform(0.6, 0.99, 400)
        first = np.where(shown == 0, confidence, 1 - confidence)
        assert len(find_label_issues(labels, np.stack((first, 1 - first), axis=1))) <= most


def test_trained_model_disputes_labels_until_they_are_corrected(catalogue: Any, tmp_path: Path) -> None:
    pytest.importorskip("cleanlab")
    random = np.random.default_rng(0)
    predictions = []
    for index in range(80):
        image = catalogue.photograph(medium=("film", "digital")[index % 2])
        probability = random.uniform(0.8, 0.95) if index != 17 else 0.04
        predictions.append(
            {
                "sha256": hashlib.sha256(str(image).encode()).hexdigest(),
                "split": "train" if index < 10 else "validation",
                "target": "medium",
                "truth": ("film", "digital")[index % 2],
                "probabilities": [probability, 1 - probability][:: 1 if index % 2 else -1],
            }
        )
    apply(catalogue.engine, [get_target("medium")])
    run = tmp_path / "run"
    run.mkdir()
    (run / "model.toml").write_text('[[targets]]\nname = "medium"\nclasses = ["digital", "film"]\n')
    write_predictions(run, predictions)
    assert audit_medium("--run", str(run)) == {18: "disputed by a model (score 0.96)"}
    run_json("labels", "set", "18.jpg", "medium=film", "--author", "ann")
    assert audit_medium("--run", str(run)) == {18: "contradiction (manual ann: film, rule: digital)"}
    (run / "predictions.parquet").write_bytes(b"damaged")
    assert "contains no predictions of target medium" in run_error("labels", "audit", "medium", "--run", run)


def test_audit_of_missing_run_raises_error(catalogue: Any) -> None:
    assert audit_medium() == {}
    assert "contains no predictions of target medium" in run_error("labels", "audit", "medium", "--run", "nowhere")
    assert "run 'lightmeter labels audit iso'" in run_error("labels", "review", "iso", "--queue", "label-issues")


def test_agreement_has_confusion_and_kappa(catalogue: Any) -> None:
    files = [f"{catalogue.photograph()}.jpg" for _ in range(20)]
    for author, films, number in (("ann", 10, 20), ("bob", 12, 18)):
        run_json("labels", "set", *files[:films], "medium=film", "--author", author)
        run_json("labels", "set", *files[films:number], "medium=digital", "--author", author)
    result = run_json("labels", "agreement", "medium", "ann", "bob")
    assert result["photographs"] == 18
    assert result["confusion"] == {"digital": {"digital": 6, "film": 2}, "film": {"digital": 0, "film": 10}}
    assert result["accuracy"] == pytest.approx(16 / 18)
    kappa = result["kappa"]
    assert kappa["value"] == pytest.approx((16 / 18 - 168 / 324) / (1 - 168 / 324))
    assert kappa["low"] < kappa["value"] < kappa["high"] <= 1
    assert "by both ann and eve" in run_error("labels", "agreement", "medium", "ann", "eve")
    assert "two different authors" in run_error("labels", "agreement", "medium", "ann", "ann")
    run_json("labels", "set", *files[:10], "medium=film", "--author", "eve")
    result = run_json("labels", "agreement", "medium", "ann", "bob", "eve")
    assert [result[key] for key in ("photographs", "method", "confusion")] == [10, "fleiss", {}]
    assert result["kappa"]["value"] == 1
