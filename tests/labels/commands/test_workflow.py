"""The complete workflow on real photographs: rules, manual labels, audit, data set and its next version."""

import csv
import os
from itertools import islice
from pathlib import Path

import pytest

from lightmeter.labels.datasets.dataset import read_dataset
from tests.plots import draw_plots
from tests.support import CommandRunner, run_error, run_json, run_text

TARGET = "shutter-binary"


@pytest.mark.shared
def test_workflow_from_rules_to_next_version(
    project: Path, shared: Path, lightmeter: CommandRunner, monkeypatch: pytest.MonkeyPatch
) -> None:
    lightmeter("harvest", "run", "folder", shared / "photos", "--medium", "digital")
    results = run_json("labels", "apply", TARGET, "medium")
    assert results[TARGET]["labelled"] == {"fast": 53, "slow": 64}
    assert results["medium"]["labelled"] == {"digital": 167}

    # The plot of docs/labels.md; LIGHTMETER_SCREENSHOTS is the folder to write it to.
    folder = Path(__file__).parents[3] / os.environ.get("LIGHTMETER_SCREENSHOTS", project)
    with monkeypatch.context() as patch:
        draw_plots(patch)
        output = run_text("labels", "stats", TARGET, "--plot", folder / "labels-stats.png")
    assert "excluded: 40 between fast and slow" in output
    assert "filter monochrome would drop" in output

    # Ten manual labels, one of which contradicts the rule.
    run_text("labels", "export", "labels.csv", "--target", TARGET)
    with Path("labels.csv").open(newline="", encoding="utf-8") as file:
        labels = {row["file"]: row["value"] for row in islice(csv.DictReader(file), 10)}
    wrong = next(name for name, value in labels.items() if value == "fast")
    labels[wrong] = "slow"
    for value in ("fast", "slow"):
        names = [name for name, label in labels.items() if label == value]
        run_text("labels", "set", *names, f"{TARGET}={value}", "--author", "ann")

    # The audit reports the contradiction.
    (issue,) = run_json("labels", "audit", TARGET, "--no-model")
    assert issue["reasons"] == ["contradiction (manual ann: slow, rule: fast)"]
    (history,) = run_json("labels", "show", wrong)
    assert issue["sha256"] == history["sha256"]

    # A valid data set with its card.
    run_text("labels", "split", "shutter-v1", "--target", TARGET)
    first = read_dataset(Path("datasets/shutter-v1"))
    assert first.manifest.num_rows == 117
    card = (first.folder / "README.md").read_text(encoding="utf-8")
    assert f"Labels of {TARGET} by origin: 107 rule, 10 manual." in card
    for heading in ("## Advisories", "## Cameras", "## Years", "Shortcut baselines"):
        assert heading in card
    plots = [line.partition("(")[2].rstrip(")") for line in card.splitlines() if line.startswith("![")]
    assert plots
    assert all((first.folder / plot).is_file() for plot in plots)
    assert "shutter-v1 is valid: 117 photographs" in run_text("labels", "verify", "shutter-v1")

    # The next version, with the label corrected, lists its changes.
    run_text("labels", "set", wrong, f"{TARGET}=fast", "--author", "ann")
    output = run_text("labels", "split", "shutter-v2", "--target", TARGET)
    assert "Changes since shutter-v1:" in output
    assert f"1 photograph with a different label for {TARGET} ({issue['sha256'][:12]}: slow → fast)" in output
    second = read_dataset(Path("datasets/shutter-v2"))
    assert second.spec.manifest_sha256 != first.spec.manifest_sha256
    changes = output.split("Changes since")[1].split(".")[0]
    assert changes in (second.folder / "README.md").read_text(encoding="utf-8")
    assert "exists and would change" in run_error("labels", "split", "shutter-v1", "--target", TARGET)
