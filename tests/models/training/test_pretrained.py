"""Pretrained weights: downloaded once, checked by SHA-256, and clear errors."""

import hashlib
from pathlib import Path

import pytest
import torch
from safetensors.torch import save, save_file

from lightmeter.errors import LightmeterError, UsageError
from lightmeter.labels.datasets.dataset import Dataset
from lightmeter.models import architectures
from lightmeter.models.architectures.mobilenet import MobileNetV2, ViewMobileNet
from lightmeter.models.runtime.predictor import Predictor
from lightmeter.models.training.data.feature_cache import cache_root
from lightmeter.models.training.pretrained import BUNDLED, load_backbone, load_backbones
from lightmeter.models.training.recipe import list_recipes, model_spec, read_recipe
from tests.models.conftest import FROZEN_EPOCH, SHUTTER, settings, spec_of
from tests.support import HttpResponse, Site, run_error, run_text

RECIPES = {recipe.architecture: recipe for recipe in map(read_recipe, list_recipes()) if recipe.weights in BUNDLED}
"""By architecture, a recipe with weights that are installed with Lightmeter."""


@pytest.fixture(scope="module")
def weights() -> dict[str, torch.Tensor]:
    return dict(MobileNetV2().state_dict())


@pytest.fixture
def network() -> ViewMobileNet:
    return ViewMobileNet(spec_of("mobilenet-v2"))


def assert_backbone(network: torch.nn.Module, weights: dict[str, torch.Tensor]) -> None:
    """Check that a network has the weights in its backbone."""
    state = network.get_submodule("backbone").state_dict()
    assert all(torch.equal(value, weights[name]) for name, value in state.items())


@pytest.mark.parametrize("architecture", RECIPES)
def test_installed_weights_fit_the_networks_of_their_recipes(architecture: str) -> None:
    recipe = RECIPES[architecture]
    network = architectures.build(model_spec(recipe, "x", [SHUTTER], {}))
    assert {"backbone": True, "view_backbone": bool(recipe.view_weights)} == {
        part: part in load_backbones(network, recipe) for part in ("backbone", "view_backbone")
    }


def test_weights_are_downloaded_once(site: Site, network: ViewMobileNet, weights: dict[str, torch.Tensor]) -> None:
    content = save(weights)
    site.responses["/mobile.safetensors"] = HttpResponse(content)
    url, sha256 = f"{site.url}/mobile.safetensors", hashlib.sha256(content).hexdigest()
    for _ in range(2):
        load_backbone(network, url, sha256)
        assert_backbone(network, weights)
    assert site.requests["/mobile.safetensors"] == 1
    (file,) = (cache_root() / "weights").iterdir()
    file.write_bytes(b"damaged")
    with pytest.raises(UsageError, match="another SHA-256 than expected"):
        load_backbone(network, url, sha256)


def test_download_is_retried_after_server_errors(
    site: Site, network: ViewMobileNet, weights: dict[str, torch.Tensor]
) -> None:
    content = save(weights)
    site.responses["/mobile.safetensors"] = lambda count: HttpResponse(content) if count else HttpResponse(b"", 503)
    load_backbone(network, f"{site.url}/mobile.safetensors", hashlib.sha256(content).hexdigest())
    assert site.requests["/mobile.safetensors"] == 2
    assert_backbone(network, weights)


def test_download_with_another_sha256_is_deleted(site: Site, network: ViewMobileNet) -> None:
    site.responses["/mobile.safetensors"] = HttpResponse(b"something else")
    with pytest.raises(UsageError, match="another SHA-256 than expected"):
        load_backbone(network, f"{site.url}/mobile.safetensors", "0" * 64)
    assert not list((cache_root() / "weights").iterdir())


def test_url_needs_a_sha256(network: ViewMobileNet) -> None:
    with pytest.raises(UsageError, match="need their SHA-256: --set weights_sha256="):
        load_backbone(network, "https://example.org/weights-1234.pth")


@pytest.mark.parametrize("reachable", [True, False])
def test_failed_download_raises_error(reachable: bool, site: Site, dataset: Dataset, tmp_path: Path) -> None:
    if not reachable:
        site.close()
    options = settings(
        "view_size=32", "dense=8", FROZEN_EPOCH, f"weights={site.url}/missing.pth", f"weights_sha256={'0' * 64}"
    )
    command = ["models", "train", "haoran-mobilenet", "--data", dataset.folder, "--out", tmp_path / "run", *options]
    error = run_error(*command, "--quiet", code=1)
    assert "Cannot download the weights" in error
    assert "--set weights=PATH" in error
    if reachable:
        assert site.requests["/missing.pth"] == 1


def test_weights_of_a_file_are_trained(dataset: Dataset, tmp_path: Path, weights: dict[str, torch.Tensor]) -> None:
    """Layers that the backbone lacks, such as a classifier, are ignored; a frozen backbone keeps its weights."""
    file = tmp_path / "mobile.safetensors"
    save_file({**weights, "classifier.1.weight": torch.zeros(10, 1280)}, file)
    options = [*settings("view_size=32", "dense=8", FROZEN_EPOCH, f"weights={file}"), "--device", "cpu"]
    command = ["models", "train", "haoran-mobilenet", "--data", dataset.folder, "--out", tmp_path / "run", *options]
    error = run_error(*command, *settings(f"weights_sha256={'0' * 64}"))
    assert "another SHA-256 than expected" in error
    run_text(*command, "--quiet")
    assert_backbone(Predictor.load(tmp_path / "run").network, weights)


def test_files_without_suitable_weights_raise_error(
    network: ViewMobileNet, tmp_path: Path, weights: dict[str, torch.Tensor]
) -> None:
    file = tmp_path / "mobile.safetensors"
    file.write_bytes(b"junk")
    with pytest.raises(UsageError, match="is not a file of weights"):
        load_backbone(network, str(file))
    name, *names = weights
    save_file({other: weights[other] for other in names}, file)
    with pytest.raises(LightmeterError, match=f"do not fit this network: {name} is missing"):
        load_backbone(network, str(file))
    save_file({**weights, name: torch.zeros(1)}, file)
    with pytest.raises(LightmeterError, match="do not fit this network; use a file"):
        load_backbone(network, str(file))
