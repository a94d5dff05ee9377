"""From real photographs to a data set and its next version, as a person does it."""

import csv
import os
from itertools import islice
from pathlib import Path

import pytest

from lightmeter.labels.datasets.dataset import read_dataset
from tests.support import Lightmeter, run_error, run_json, run_text


@pytest.mark.shared
def test_a_data_set_of_real_photographs(project: Path, shared: Path, lightmeter: Lightmeter) -> None:
    lightmeter("harvest", "run", "folder", shared / "photos", "--medium", "digital")
    found = run_json("labels", "apply", "shutter-binary", "medium")
    assert found["shutter-binary"]["labelled"] == {"fast": 52, "slow": 64}
    assert found["medium"]["labelled"] == {"digital": 167}

    # How they spread, as a picture: the one that docs/labels.md shows, with LIGHTMETER_SCREENSHOTS in that folder.
    folder = Path(__file__).parents[3] / os.environ.get("LIGHTMETER_SCREENSHOTS", project)
    told = run_text("labels", "stats", "shutter-binary", "--plot", str(folder / "labels-stats.png"))
    assert "excluded: 41 between fast and slow" in told
    assert "filter monochrome would drop" in told

    # Ten labels by hand; nine say what the rule says.
    run_text("labels", "export", "labels.csv", "--target", "shutter-binary")
    with Path("labels.csv").open(newline="", encoding="utf-8") as file:
        judged = {row["file"]: row["value"] for row in islice(csv.DictReader(file), 10)}
    wrong = next(name for name, value in judged.items() if value == "fast")
    for value in ("fast", "slow"):
        names = [name for name, by_rule in judged.items() if ("slow" if name == wrong else by_rule) == value]
        run_text("labels", "set", *names, f"shutter-binary={value}", "--author", "ann")

    # The audit finds the one that contradicts EXIF.
    (suspect,) = run_json("labels", "audit", "shutter-binary", "--no-model")
    assert suspect["reasons"] == ["contradiction (manual ann: slow, rule: fast)"]
    (contradicted,) = run_json("labels", "show", wrong)
    assert suspect["sha256"] == contradicted["sha256"]

    # A data set with its card, which is sound.
    run_text("labels", "split", "shutter-v1", "--target", "shutter-binary")
    first = read_dataset(Path("datasets/shutter-v1"))
    assert first.manifest.num_rows == 116
    card = (first.folder / "README.md").read_text(encoding="utf-8")
    assert "Labels of shutter-binary by origin: 106 rule, 10 manual." in card
    for heading in ("## Advisories", "## Cameras", "## Years", "Shortcut baselines"):
        assert heading in card
    for line in card.splitlines():
        if line.startswith("!["):
            assert (first.folder / line.partition("(")[2].rstrip(")")).stat().st_size > 1_000
    assert "shutter-v1 is sound: 116 photographs" in run_text("labels", "split", "--check", "shutter-v1")

    # Ann corrects herself: the next version differs, and says in what.
    run_text("labels", "set", wrong, "shutter-binary=fast", "--author", "ann")
    told = run_text("labels", "split", "shutter-v2", "--target", "shutter-binary")
    assert "Changes since shutter-v1:" in told
    assert f"1 photograph with a different label for shutter-binary ({suspect['sha256'][:12]}: slow → fast)" in told
    second = read_dataset(Path("datasets/shutter-v2"))
    assert second.spec.manifest_sha256 != first.spec.manifest_sha256
    assert told.split("Changes since")[1].split(".")[0] in (second.folder / "README.md").read_text(encoding="utf-8")
    assert "exists and would change" in run_error("labels", "split", "shutter-v1", "--target", "shutter-binary")
