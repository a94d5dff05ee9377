"""The folder of a data set: what it holds, what the card tells, and that it never changes."""

import csv
import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import func, insert, select

from lightmeter.cli import main
from lightmeter.harvest.catalogue.models import DatasetRecord, Label
from lightmeter.labels.annotations.rules import apply
from lightmeter.labels.datasets.dataset import SPLITS, read_dataset
from lightmeter.labels.targets.registry import get_target
from tests.labels.splitting import FAST, SLOW, fill, freeze, split_error


def test_the_folder_holds_card_attribution_plots_and_paths_into_the_store(any_catalogue: Any) -> None:
    fill(any_catalogue)
    dataset = freeze()
    row = dataset.rows()[0]
    assert row["path"] == f"{row['sha256'][:2]}/{row['sha256']}"
    assert dataset.store == any_catalogue.project.store.resolve()
    with (dataset.folder / "ATTRIBUTION.csv").open(encoding="utf-8") as file:
        thanks = list(csv.DictReader(file))
    assert {one["sha256"] for one in thanks} == {one["sha256"] for one in dataset.rows()}
    card = (dataset.folder / "README.md").read_text(encoding="utf-8")
    assert dataset.spec.manifest_sha256 in card
    assert "| Canon EOS | 60 |" in card
    assert {plot.name for plot in (dataset.folder / "plots").iterdir()} == {
        "cameras.png",
        "licences.png",
        "photographers.png",
        "shutter-binary-classes.png",
        "shutter-binary-values.png",
        "sources.png",
        "years.png",
    }
    assert any_catalogue.rows(select(DatasetRecord.name, DatasetRecord.manifest_sha256)) == [
        ("one", dataset.spec.manifest_sha256)
    ]


def test_the_card_tells_how_photographs_were_chosen_and_how_far_each_class_is_from_its_share(catalogue: Any) -> None:
    fill(catalogue, photographers=20)
    for seconds in (FAST, SLOW) * 3:
        catalogue.photograph(exposure_time_s=seconds, source="flickr")
    apply(catalogue.engine, [get_target("shutter-binary")])

    def card(name: str, *options: str) -> str:
        return (freeze(*options, name=name).folder / "README.md").read_text(encoding="utf-8")

    whole = card("one", "--where", "width > 1")
    assert "Chosen by the query `width > 1`. Ratios 80/10/10. Seed 0." in whole
    assert "| class | train | validation | test | shares in % | off by at most |" in whole
    dataset = read_dataset(Path("datasets/one"))
    fast = Counter(row["split"] for row in dataset.rows() if row["label_shutter-binary"] == "fast")
    off = max(abs(100 * fast[side] / fast.total() - share) for side, share in zip(SPLITS, (80, 10, 10), strict=True))
    assert f"| {off:.1f} points |" in next(line for line in whole.splitlines() if line.startswith("| fast |"))
    assert "6 of 106 photographs name neither photographer nor camera body" in whole
    held_out = card("two", "--holdout-source", "flickr")
    assert "The test side is the source flickr, with all that belongs to its groups. Seed 0." in held_out
    assert "off by at most" not in held_out
    assert "name neither" not in card("three", "--where", "owner is known")


def test_a_rare_class_is_left_out_and_the_card_says_so(catalogue: Any) -> None:
    fill(catalogue)
    catalogue.photograph(owner="somebody", exposure_time_s=30.0)
    apply(catalogue.engine, [get_target("shutter")])
    dataset = freeze(target="shutter")
    assert dataset.spec.targets[0].classes == ("1/1000", "1/15")
    assert dataset.spec.targets[0].stops == (-10, -4)
    assert dataset.spec.split["left_out"] == [{"target": "shutter", "name": "30", "photographs": 1, "groups": 1}]
    assert (
        "Classes of shutter that are left out, with their photographs and groups: 30 (1 in 1)"
        in (dataset.folder / "README.md").read_text()
    )


def test_a_data_set_is_frozen(catalogue: Any, capsys: pytest.CaptureFixture[str]) -> None:
    fill(catalogue)
    dataset = freeze()
    capsys.readouterr()
    assert main(["labels", "split", "one", "--target", "shutter-binary", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["new"] is False
    image = catalogue.rows(select(func.min(Label.image_id)))[0][0]
    with catalogue.engine.begin() as connection:
        connection.execute(
            insert(Label).values(image_id=image, target="shutter-binary", value="fast", origin="hand", author="ann")
        )
    told = split_error("one", "--target", "shutter-binary")
    assert "frozen already" in told
    assert "1 photograph with another label of shutter-binary" in told
    assert read_dataset(dataset.folder).spec == dataset.spec


def test_another_version_of_lightmeter_is_no_other_choice(
    catalogue: Any, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(catalogue)
    freeze()
    monkeypatch.setattr("lightmeter.labels.datasets.freeze.__version__", "9.9")
    capsys.readouterr()
    freeze()
    assert "It was there already, unchanged." in " ".join(capsys.readouterr().out.split())
    assert "with other choices" in split_error("one", "--target", "shutter-binary", "--where", "width > 1")


def test_json_holds_the_counts(catalogue: Any, capsys: pytest.CaptureFixture[str]) -> None:
    fill(catalogue)
    capsys.readouterr()
    assert main(["labels", "split", "one", "--target", "shutter-binary", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert Path(found["path"]).name == "one"
    assert len(found["manifest_sha256"]) == 64
    assert sum(found["counts"]["shutter-binary"]["fast"].values()) == 30


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (["--ratios", "80/20"], "three numbers"),
        (["--ratios", "80/20/0"], "three numbers"),
        (["--group", "photgrapher"], "choose from photographer"),
        (["--target", "medium"], "leaves no class to learn"),
        (["--target", "isoo"], "did you mean iso"),
    ],
)
def test_wrong_options_are_one_sentence(catalogue: Any, options: list[str], told: str) -> None:
    fill(catalogue)
    assert told in split_error("one", "--target", "shutter-binary", *options)
    assert not (catalogue.project.datasets / "one").exists()


def test_without_labels_a_split_says_what_to_run(catalogue: Any) -> None:
    assert "labels apply shutter" in split_error("one", "--target", "shutter")
    catalogue.photograph(exposure_time_s=FAST)
    assert "labels apply shutter" in split_error("one", "--target", "shutter")
    assert "Give the data set a name" in split_error("--target", "shutter")


def test_one_photographer_alone_cannot_be_split(catalogue: Any) -> None:
    fill(catalogue, photographers=1, each=40)
    assert "form 1 group that must stay together" in split_error("one", "--target", "shutter-binary")


def test_one_class_alone_cannot_be_learnt(catalogue: Any) -> None:
    for person in range(9):
        catalogue.photograph(owner=str(person), exposure_time_s=FAST)
    apply(catalogue.engine, [get_target("shutter-binary")])
    assert "only the class fast" in split_error("one", "--target", "shutter-binary")


def test_a_folder_that_is_something_else_is_left_alone(catalogue: Any, tmp_path: Path) -> None:
    fill(catalogue)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "diary.txt").write_text("dear diary")
    told = split_error("x", "--target", "shutter-binary", "--out", str(tmp_path / "mine"))
    assert "no data set" in told
