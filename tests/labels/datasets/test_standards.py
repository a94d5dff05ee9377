"""Standards of the field: Croissant, CITATION.cff and SPDX identifiers, read back by other programs."""

import csv
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import yaml

from lightmeter.labels.datasets.dataset import Dataset, read_dataset
from tests.labels.datasets.helpers import FAST, SLOW, apply_rules, create_dataset
from tests.support import run_text


@pytest.fixture
def dataset(catalogue: Any) -> Dataset:
    """A data set with a multilabel target and licences of every kind."""
    catalogue.fill_once(fill_catalogue)
    return read_dataset(Path("datasets/one"))


def fill_catalogue(catalogue: Any) -> None:
    settings = catalogue.project.root / "lightmeter.toml"
    authors = 'authors = ["Doé, Ann <https://orcid.org/0000-0002-1825-0097>", "Lab: Film"]\nlicence = "cc-by-4.0"'
    settings.write_text(settings.read_text(encoding="utf-8").replace("[project]", f"[project]\n{authors}"), "utf-8")
    licences = ("CC0-1.0", "CC-BY", None, "Ask me, please", "LicenseRef-public-domain")
    for index in range(60):
        catalogue.photograph(
            owner=f"person {index // 5}",
            exposure_time_s=(FAST, SLOW)[index % 2],
            licence=licences[index % 5],
            concepts=[["street", "night"][index % 2]] if index % 3 else None,
        )
    apply_rules(catalogue, "shutter-binary", "concept")
    create_dataset("--target", "concept")


@pytest.mark.filterwarnings("ignore")
def test_croissant_is_valid_and_its_records_are_those_of_the_manifest(dataset: Dataset) -> None:
    mlcroissant = pytest.importorskip("mlcroissant")
    loaded = mlcroissant.Dataset(jsonld=str(dataset.folder / "croissant.json"))
    issues = loaded.metadata.ctx.issues
    assert (set(issues.errors), set(issues.warnings)) == (set(), set())
    assert loaded.metadata.ctx.conforms_to.value == "http://mlcommons.org/croissant/1.1"
    records = list(loaded.records("photographs"))
    assert len(records) == dataset.manifest.num_rows

    def text(value: Any) -> Any:
        return value.decode() if isinstance(value, bytes) else value

    expected = {row["sha256"]: row for row in dataset.rows()}
    for record in records:
        row = expected[text(record["photographs/sha256"])]
        assert text(record["photographs/split"]) == row["split"]
        assert text(record["photographs/label_shutter-binary"]) == row["label_shutter-binary"]
        concepts = record["photographs/label_concept"]
        assert [*map(text, [] if row["label_concept"] is None else concepts)] == (row["label_concept"] or [])
        assert record["photographs/exposure_time_s"] == pytest.approx(row["exposure_time_s"])
    classes = [text(record["classes_shutter-binary/name"]) for record in loaded.records("classes_shutter-binary")]
    assert classes == ["fast", "slow"]
    assert loaded.metadata.data_biases


def test_equal_labels_give_equal_files(dataset: Dataset) -> None:
    run_text("labels", "split", "one", "--target", "shutter-binary", "--target", "concept", "--out", "copies/one")
    for name in ("croissant.json", "CITATION.cff", "dataset.toml"):
        assert (dataset.folder / name).read_bytes() == (Path("copies/one") / name).read_bytes()


def test_citation_names_authors_licence_and_date(dataset: Dataset) -> None:
    citation = yaml.safe_load((dataset.folder / "CITATION.cff").read_text(encoding="utf-8"))
    assert citation["authors"] == [
        {"family-names": "Doé", "given-names": "Ann", "orcid": "https://orcid.org/0000-0002-1825-0097"},
        {"name": "Lab: Film"},
    ]
    assert (citation["type"], citation["license"]) == ("dataset", "CC-BY-4.0")
    assert str(citation["date-released"]) == dataset.spec.publication.created_on
    assert dataset.spec.manifest_sha256 in citation["identifiers"][0]["value"]


def test_every_photograph_has_an_spdx_identifier(dataset: Dataset) -> None:
    with (dataset.folder / "ATTRIBUTION.csv").open(encoding="utf-8") as file:
        identifiers = Counter(row["spdx"] for row in csv.DictReader(file))
    assert identifiers == dict.fromkeys(
        ("CC0-1.0", "LicenseRef-CC-BY", "NOASSERTION", "LicenseRef-Ask-me-please", "LicenseRef-public-domain"), 12
    )
    card = (dataset.folder / "README.md").read_text(encoding="utf-8")
    assert "| fast | to 1/250 s |" in card
    assert "Licence of the compilation: CC-BY-4.0" in card
