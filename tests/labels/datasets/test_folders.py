"""Folders for viewers and repositories: IIIF Presentation 3 and RO-Crate, read back."""

import hashlib
import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image as PillowImage

from lightmeter.labels.datasets.dataset import Dataset, read_dataset
from tests.labels.datasets.helpers import FAST, SLOW, apply_rules, create_dataset, store_image
from tests.support import exif_tags, run_error, run_json

VALIDATOR = os.environ.get("ROCRATE_VALIDATOR") or shutil.which("rocrate-validator")
LICENCES = ("CC0-1.0", "CC-BY-SA-3.0-DE", "LicenseRef-all-rights-reserved")


@pytest.fixture
def dataset(catalogue: Any) -> Dataset:
    """Twelve photographs, a third of which may not be redistributed."""
    catalogue.fill_once(fill_catalogue)
    return read_dataset(Path("datasets/one"))


def fill_catalogue(catalogue: Any) -> None:
    for index in range(12):
        store_image(
            catalogue,
            PillowImage.new("RGB", (64, 48), (index * 20, 100, 50)),
            exif=exif_tags({}, orientation=6),
            owner=f"Ann {index // 3}",
            exposure_time_s=(FAST, SLOW)[index % 2],
            licence=LICENCES[index % 3],
        )
    apply_rules(catalogue, "shutter-binary")
    create_dataset("--min-per-class", "1")


def test_iiif_manifest_has_what_the_specification_requires(dataset: Dataset) -> None:
    base = "https://example.org/photographs"
    result = run_json("labels", "export", "iiif", "--format", "iiif", "--dataset", "one", "--url", f"{base}/")
    assert (result["images"], result["excluded"]) == (8, 4)
    manifest = json.loads(Path("iiif/manifest.json").read_text(encoding="utf-8"))
    assert manifest["@context"] == "http://iiif.io/api/presentation/3/context.json"
    assert (manifest["id"], manifest["type"]) == (f"{base}/manifest.json", "Manifest")
    assert manifest["label"] == {"none": ["one"]}
    rows = {row["sha256"]: row for row in dataset.rows()}
    identifiers = [manifest["id"]]
    for canvas in manifest["items"]:
        (page,) = canvas["items"]
        (painting,) = page["items"]
        body = painting["body"]
        assert (canvas["type"], page["type"], painting["type"], body["type"]) == (
            "Canvas",
            "AnnotationPage",
            "Annotation",
            "Image",
        )
        assert (painting["motivation"], painting["target"]) == ("painting", canvas["id"])
        assert (canvas["width"], canvas["height"]) == (body["width"], body["height"]) == (48, 64)
        file = Path("iiif") / body["id"].removeprefix(f"{base}/")
        with PillowImage.open(file) as image:
            assert image.get_format_mimetype() == body["format"]
        row = rows[file.stem]
        rights = {"CC0-1.0": "publicdomain/zero/1.0/", "CC-BY-SA-3.0-DE": "licenses/by-sa/3.0/de/"}[row["licence"]]
        assert canvas["rights"] == f"http://creativecommons.org/{rights}"
        assert canvas["annotations"][0]["items"][0]["body"]["value"] == f"shutter-binary: {row['label_shutter-binary']}"
        assert row["owner"] in canvas["requiredStatement"]["value"]["none"][0]
        identifiers += [canvas["id"], page["id"], painting["id"], canvas["annotations"][0]["id"]]
    assert len(set(identifiers)) == len(identifiers) == 1 + 4 * 8
    listed = [item["id"] for structure in manifest["structures"] for item in structure["items"]]
    assert sorted(listed) == sorted(canvas["id"] for canvas in manifest["items"])
    assert all(canvas["label"]["none"][0].endswith(".jpg") for canvas in manifest["items"])  # file names


@pytest.fixture
def crate(dataset: Dataset) -> Path:
    """An RO-Crate of a data set and a run."""
    run = Path("runs/first")
    run.mkdir(parents=True)
    (run / "model.toml").write_text(f'[data]\nmanifest_sha256 = "{dataset.spec.manifest_sha256}"\n', encoding="utf-8")
    (run / "model.safetensors").write_bytes(b"weights")
    run_json("labels", "export", "crate", "--format", "ro-crate", "--dataset", "one", "--run", "first")
    return Path("crate")


@pytest.mark.skipif(
    VALIDATOR is None, reason="rocrate-validator is not installed; set ROCRATE_VALIDATOR to its program"
)
def test_ro_crate_meets_all_that_the_specification_requires(crate: Path) -> None:
    command = [
        str(VALIDATOR),
        "validate",
        "--offline",
        "--no-paging",
        "--profile-identifier",
        "ro-crate-1.1",
        str(crate),
    ]
    result = subprocess.run(command, check=False, capture_output=True, text=True, stdin=subprocess.DEVNULL)
    assert result.returncode == 0, result.stdout + result.stderr


def test_ro_crate_describes_every_file_of_data_set_and_run(crate: Path) -> None:
    run = Path("runs/first")
    document = json.loads(Path("crate/ro-crate-metadata.json").read_text(encoding="utf-8"))
    entities = {entity["@id"]: entity for entity in document["@graph"]}
    assert len(entities) == len(document["@graph"])
    assert entities["ro-crate-metadata.json"]["about"] == {"@id": "./"}
    root = entities["./"]
    assert all(root[name] for name in ("name", "description", "datePublished", "license", "author"))
    described = {name for name, entity in entities.items() if entity["@type"] == "File"}
    terms = document["@context"][1]
    assert set(terms) == {"sha256"}  # the context of RO-Crate 1.1 has all others
    files = {path.relative_to("crate").as_posix() for path in Path("crate").rglob("*") if path.is_file()}
    assert described == files - {"ro-crate-metadata.json"}
    assert "run/model.safetensors" in described
    for name in described:
        assert entities[name]["sha256"] == hashlib.sha256((Path("crate") / name).read_bytes()).hexdigest()

    def references(value: Any) -> Iterator[str]:
        if isinstance(value, dict) and set(value) == {"@id"}:
            yield value["@id"]
        elif isinstance(value, dict | list):
            for item in value.values() if isinstance(value, dict) else value:
                yield from references(item)

    assert set(references(document["@graph"])) <= {*entities, "https://w3id.org/ro/crate/1.1"}
    assert entities["#training"]["object"] == {"@id": "dataset/"}

    (run / "model.toml").write_text('[data]\nmanifest_sha256 = "0"\n', encoding="utf-8")
    command = ("labels", "export", "other", "--format", "ro-crate", "--dataset", "one")
    assert "was not trained on the data set one" in run_error(*command, "--run", "first")
    assert "is not a trained model" in run_error(*command, "--run", "second")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--format", "iiif"), "belong together"),
        (("--format", "iiif", "--dataset", "one", "--url", "example.org"), "Invalid URL"),
    ],
)
def test_wrong_options_are_errors(dataset: Dataset, options: tuple[str, ...], message: str) -> None:
    assert message in run_error("labels", "export", "out", *options)
    assert not Path("out").exists()
