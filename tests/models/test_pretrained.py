"""Weights by address: fetched once, checked by SHA-256, and missed in a sentence."""

import hashlib
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from safetensors.torch import save

from lightmeter.labels.datasets.dataset import Dataset
from lightmeter.models.architectures.mobilenet import MobileNetV2
from lightmeter.models.runtime.predictor import Predictor
from lightmeter.models.training.feature_cache import cache_root
from tests.support import Site, run_command, run_error, run_text

TINY = [
    "--set",
    "view_size=32",
    "--set",
    "dense=8",
    "--set",
    "phases=[{epochs=1, learning_rate=1e-3, freeze=['backbone']}]",
]


@pytest.fixture
def site() -> Iterator[Site]:
    server = Site()
    yield server
    server.close()


@pytest.fixture(scope="module")
def published() -> dict[str, torch.Tensor]:
    return dict(MobileNetV2().state_dict())


def words(dataset: Dataset, run: Path, address: str, sha256: str) -> list[object]:
    chosen = ["--set", f"weights={address}", "--set", f"weights_sha256={sha256}"]
    return ["models", "train", "haoran-mobilenet", "--data", dataset.folder, "--out", run, *TINY, *chosen]


def test_weights_are_fetched_once(
    site: Site, dataset: Dataset, published: dict[str, torch.Tensor], tmp_path: Path
) -> None:
    content = save(published)
    site.responses["/mobile.safetensors"] = (200, {}, content)
    address, sha256 = f"{site.url}/mobile.safetensors", hashlib.sha256(content).hexdigest()
    for number in (1, 2):
        run_text(*words(dataset, tmp_path / f"run{number}", address, sha256), "--quiet")
    assert site.requests["/mobile.safetensors"] == 1
    trained = Predictor.load(tmp_path / "run2").network.get_submodule("backbone").state_dict()
    assert all(torch.equal(value, published[name]) for name, value in trained.items())
    (kept,) = (cache_root() / "weights").iterdir()
    kept.write_bytes(b"rotten")
    assert run_command(*words(dataset, tmp_path / "run3", address, sha256), "--quiet").code == 2


def test_other_weights_than_expected_are_not_kept(site: Site, dataset: Dataset, tmp_path: Path) -> None:
    site.responses["/mobile.safetensors"] = (200, {}, b"something else")
    said = run_error(*words(dataset, tmp_path / "run", f"{site.url}/mobile.safetensors", "0" * 64), "--quiet")
    assert "another SHA-256 than expected" in said
    assert not list((cache_root() / "weights").iterdir())


def test_an_address_needs_a_sha256(dataset: Dataset, tmp_path: Path) -> None:
    said = run_error(*words(dataset, tmp_path / "run", "https://example.org/weights-1234.pth", ""))
    assert "need their SHA-256: --set weights_sha256=" in said


@pytest.mark.parametrize("gone", [True, False])
def test_without_a_network_a_sentence_says_what_to_do(gone: bool, site: Site, dataset: Dataset, tmp_path: Path) -> None:
    if gone:
        site.close()
    said = run_error(*words(dataset, tmp_path / "run", f"{site.url}/missing.pth", "0" * 64), "--quiet", code=1)
    assert "cannot be fetched from" in said
    assert "name a file with --set weights=PATH, or begin without" in said
