"""The data set folder: its content, its card, and that it never changes."""

import csv
from collections import Counter
from itertools import pairwise
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from sqlalchemy import func, insert, select

from lightmeter.files import sha256_of
from lightmeter.harvest.catalogue.models import DatasetRecord, Label
from lightmeter.labels.annotations.model import LABEL_PRECEDENCE
from lightmeter.labels.datasets.dataset import MANIFEST_FILE, read_dataset
from lightmeter.labels.datasets.manifest import SPLITS
from lightmeter.labels.datasets.spec import SPEC_FILE
from tests.labels.datasets.helpers import FAST, SLOW, add_photographers, apply_rules, create_dataset
from tests.support import run_error, run_json, run_text

SPLIT = ("labels", "split", "one", "--target", "shutter-binary")


@pytest.mark.plots
def test_folder_has_card_attributions_plots_and_paths_into_the_store(catalogue: Any) -> None:
    add_photographers(catalogue)
    dataset = create_dataset()
    row = dataset.rows()[0]
    assert row["path"] == f"{row['sha256'][:2]}/{row['sha256']}"
    assert dataset.store.root == catalogue.project.store.root.resolve()
    with (dataset.folder / "ATTRIBUTION.csv").open(encoding="utf-8") as file:
        attributions = list(csv.DictReader(file))
    assert {item["sha256"] for item in attributions} == {item["sha256"] for item in dataset.rows()}
    card = (dataset.folder / "README.md").read_text(encoding="utf-8")
    assert dataset.spec.manifest_sha256 in card
    assert "| Canon EOS | 60 |" in card
    assert {plot.name for plot in (dataset.folder / "plots").iterdir() if plot.stat().st_size > 1000} == {
        "cameras.svg",
        "licences.svg",
        "photographers.svg",
        "shutter-binary-classes.svg",
        "shutter-binary-values.svg",
        "sources.svg",
        "years.svg",
    }
    records = catalogue.rows(select(DatasetRecord.name, DatasetRecord.manifest_sha256))
    assert records == [("one", dataset.spec.manifest_sha256)]


def test_card_shows_options_and_deviation_of_each_class(catalogue: Any) -> None:
    add_photographers(catalogue, photographers=20)
    for seconds in (FAST, SLOW) * 3:
        catalogue.photograph(exposure_time_s=seconds, source="flickr")
    apply_rules(catalogue, "shutter-binary")

    def card(name: str, *options: str) -> str:
        return (create_dataset(*options, name=name).folder / "README.md").read_text(encoding="utf-8")

    text = card("one", "--where", "width > 1")
    assert "Selected by the query `width > 1`. Ratios 80/10/10. Seed 0." in text
    assert "| class | train | validation | test | split in % | max. deviation |" in text
    dataset = read_dataset(Path("datasets/one"))
    fast = Counter(row["split"] for row in dataset.rows() if row["label_shutter-binary"] == "fast")
    shares = {split: 100 * fast[split] / fast.total() for split in SPLITS}
    deviation = max(abs(shares[split] - ratio) for split, ratio in zip(SPLITS, (80, 10, 10), strict=True))
    fast_line = next(line for line in text.splitlines() if line.startswith("| fast |"))
    assert f"| {deviation:.1f} points |" in fast_line
    assert "6 of 106 photographs have neither a photographer nor a camera body" in text
    held_out = card("two", "--holdout-source", "flickr")
    assert "The test split is the source flickr, with all groups that have a photograph of it. Seed 0." in held_out
    assert "max. deviation" not in held_out
    assert "neither a photographer" not in card("three", "--where", "owner is known")


def test_card_is_markdown_without_template_leftovers(catalogue: Any) -> None:
    add_photographers(catalogue)
    lines = (create_dataset().folder / "README.md").read_text(encoding="utf-8").splitlines()
    assert [line for line in lines if line.startswith("#")] == [
        "# one",
        "## Advisories",
        "## shutter-binary (definition 1)",
        "## Licences",
        "## Sources",
        "## Cameras",
        "## Photographers",
        "## Years",
    ]
    for before, line in pairwise(lines):
        assert "{" not in line
        assert line.startswith("| ") or not before.startswith("|---"), "rows follow the head of a table"
        assert not (line.startswith("#") and before), "a heading follows a blank line"
        assert not (line.startswith("|") and before and not before.startswith("|")), "so does a table"
        assert not (before.startswith("|") and line and not line.startswith("|"))


def test_rare_class_is_excluded_with_an_advisory(catalogue: Any) -> None:
    add_photographers(catalogue)
    catalogue.photograph(owner="person 99", exposure_time_s=30.0)
    apply_rules(catalogue, "shutter")
    dataset = create_dataset(target="shutter")
    assert dataset.spec.targets[0].classes == ("1/1000", "1/15")
    assert dataset.spec.targets[0].stops == (-10, -4)
    rare = {"target": "shutter", "name": "30", "photographs": 1, "groups": 1}
    assert dataset.spec.split["excluded_classes"] == [rare]
    advisory = "Excluded classes of shutter, with photographs and groups: 30 (1 in 1)"
    assert advisory in (dataset.folder / "README.md").read_text(encoding="utf-8")


def test_changed_labels_do_not_change_an_existing_dataset(catalogue: Any) -> None:
    add_photographers(catalogue)
    dataset = create_dataset()
    assert run_json(*SPLIT)["created"] is False
    image = catalogue.rows(select(func.min(Label.image_id)))[0][0]
    with catalogue.engine.begin() as connection:
        values = {"target": "shutter-binary", "value": "fast", "origin": LABEL_PRECEDENCE[0], "author": "ann"}
        connection.execute(insert(Label).values(image_id=image, **values))
    error = run_error(*SPLIT)
    assert "exists and would change" in error
    assert "1 photograph with a different label for shutter-binary" in error
    assert read_dataset(dataset.folder).spec == dataset.spec


def test_manifest_with_the_same_rows_in_other_bytes_is_the_same_dataset(catalogue: Any) -> None:
    """Another version of the library that writes Parquet files may compress otherwise."""
    add_photographers(catalogue)
    dataset = create_dataset()
    manifest, spec = dataset.folder / MANIFEST_FILE, dataset.folder / SPEC_FILE
    pq.write_table(dataset.manifest, manifest, compression="none", store_schema=False)
    spec.write_text(spec.read_text().replace(dataset.spec.manifest_sha256, sha256_of(manifest)))
    assert sha256_of(manifest) != dataset.spec.manifest_sha256
    result = run_json(*SPLIT)
    assert (result["created"], result["manifest_sha256"]) == (False, sha256_of(manifest))


def test_other_options_are_refused_but_not_another_version_of_lightmeter(
    catalogue: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    add_photographers(catalogue)
    create_dataset()
    monkeypatch.setattr("lightmeter.labels.datasets.freeze.__version__", "9.9")
    assert "Already exists, unchanged." in " ".join(run_text(*SPLIT).split())
    assert "exists with other options" in run_error(*SPLIT, "--where", "width > 1")


def test_json_has_counts_by_class_and_split(catalogue: Any) -> None:
    add_photographers(catalogue)
    document = run_json(*SPLIT)
    assert Path(document["path"]).name == "one"
    assert len(document["manifest_sha256"]) == 64
    assert sum(document["counts"]["shutter-binary"]["fast"].values()) == 30


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--ratios", "80/20"], "three numbers"),
        (["--ratios", "80/20/0"], "three numbers"),
        (["--group", "photgrapher"], "photographer"),
        (["--target", "medium"], "no class with at least"),
        (["--target", "isoo"], "did you mean iso"),
    ],
)
def test_invalid_option_is_an_error(catalogue: Any, options: list[str], message: str) -> None:
    add_photographers(catalogue)
    assert message in run_error(*SPLIT, *options)
    assert not (catalogue.project.datasets / "one").exists()


def test_folder_with_other_files_is_refused(catalogue: Any, tmp_path: Path) -> None:
    add_photographers(catalogue)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "notes.txt").write_text("notes")
    assert "is not a data set" in run_error(*SPLIT, "--out", tmp_path / "mine")
