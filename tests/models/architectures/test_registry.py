"""Registering and building architectures."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from lightmeter.labels.datasets.dataset import Dataset
from lightmeter.models import architectures, register_architecture
from lightmeter.models.runtime.spec import ModelSpec
from tests.models.conftest import settings, spec_of
from tests.support import run_error, run_json

OWN_RECIPE = """
summary = "Mean colour."
source = "Test."
architecture = "mean-colour"
[preprocessing]
patches = 0
view_size = 32
[training]
method = "network"
phases = [{ epochs = 1, learning_rate = 1e-3 }]
"""


class MeanColour(nn.Module):
    """A linear layer on the mean colour, scaled."""

    def __init__(self, classes: dict[str, int], scale: float) -> None:
        super().__init__()
        self.scale = scale
        self.heads = nn.ModuleDict({name: nn.Linear(3, count) for name, count in classes.items()})

    def forward(self, inputs: dict[str, Tensor]) -> dict[str, Tensor]:
        features = inputs["view"].mean((2, 3)) * self.scale
        return {name: head(features) for name, head in self.heads.items()}


@pytest.fixture
def mean_colour() -> Iterator[list[float]]:
    """Register an architecture for one test; return the scales that it was built with."""
    scales: list[float] = []

    @register_architecture("mean-colour")
    def build(spec: ModelSpec, *, scale: float = 1.0) -> nn.Module:
        scales.append(scale)
        return MeanColour(spec.classes, scale)

    yield scales
    del architectures._REGISTRY["mean-colour"]


def test_registered_architecture_trains_with_options_of_the_recipe(
    mean_colour: list[float], dataset: Dataset, tmp_path: Path
) -> None:
    recipe = tmp_path / "own.toml"
    recipe.write_text(OWN_RECIPE)
    command = ["models", "train", recipe, "--data", dataset.folder, "--out", tmp_path / "run", "--device", "cpu"]
    run_json(*command, *settings("scale=0.5"))
    photograph = dataset.store.root / dataset.rows("test")[0]["path"]
    (result,) = run_json("models", "predict", tmp_path / "run", photograph)
    assert set(result["predictions"]["shutter"]["probabilities"]) == {"fast", "slow"}
    assert set(mean_colour) == {0.5}
    error = run_error(*command, *settings("scle=0.5"))
    assert "did you mean scale" in error


def test_registered_architecture_is_listed(mean_colour: list[float]) -> None:
    assert "mean-colour" in architectures.list_architectures()
    assert "small-cnn" in architectures.list_architectures()


def test_unknown_option_raises_error(mean_colour: list[float]) -> None:
    with pytest.raises(TypeError, match="depth"):
        architectures.build(spec_of("mean-colour", depth=3))
    with pytest.raises(TypeError, match="depth"):
        architectures.build(spec_of("small-cnn", depth=3))


def test_built_in_architecture_cannot_be_replaced() -> None:
    with pytest.raises(ValueError, match="architecture 'fusion' is built in"):
        register_architecture("fusion")(lambda spec: nn.Identity())


def test_unknown_architecture_raises_error() -> None:
    with pytest.raises(LookupError, match="architecture 'resnet' is not installed"):
        architectures.build(spec_of("resnet"))


@pytest.mark.parametrize("name", ["small-cnn", "mobilenet-v2", "vgg16-view", "efficientnet-lite0", "fusion"])
def test_logits_have_the_shape_of_the_classes(name: str) -> None:
    network = architectures.build(spec_of(name)).eval()
    with torch.inference_mode():
        logits = network({"view": torch.zeros(2, 3, 32, 32)})
    assert {target: values.shape for target, values in logits.items()} == {"shutter": (2, 2)}


def test_features_are_normalised() -> None:
    network = architectures.get_builder("efficientnet-lite0")(spec_of("efficientnet-lite0"), normalise=True).eval()
    with torch.inference_mode():
        features = network.features({"view": torch.rand(2, 3, 32, 32)})
    torch.testing.assert_close(features.norm(dim=1), torch.ones(2))
