"""Tests that every network architecture must pass."""

import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import pytest

from lightmeter.testing.server import create_project, photograph, run_lightmeter

if TYPE_CHECKING:
    from torch import nn

_CLASSES = {"medium": ("film", "digital"), "shutter": ("fast", "middle", "slow")}
_BATCH = 3


class ArchitectureTests:
    """Tests of a network architecture. Subclass it, and name the architecture and its preprocessing.

    Attributes:
        architecture: Name of the architecture.
        preprocessing: Fields of `Preprocessing` that the architecture needs; keep the images small.
        options: Options of the architecture for the tests.
        training: The recipe's training section; one short phase by default.

    Example:
        ```python
        from lightmeter.testing import ArchitectureTests


        class TestTiny(ArchitectureTests):
            architecture = "tiny"
            preprocessing = {"patches": 0, "view_size": 32}
            options = {"width": 4}
        ```
    """

    architecture: ClassVar[str]
    preprocessing: ClassVar[dict[str, Any]]
    options: ClassVar[dict[str, Any]] = {}
    training: ClassVar[str] = (
        '[training]\nmethod = "network"\nbatch_size = 8\n[[training.phases]]\nepochs = 1\nlearning_rate = 1e-3'
    )

    def test_architecture_is_installed(self) -> None:
        """The architecture is found by its name."""
        from lightmeter.models.architectures import list_architectures

        assert self.architecture in list_architectures()

    def test_logits_have_one_column_per_class(self) -> None:
        """The network returns finite logits of shape (photographs, classes) for each target."""
        logits = self.build()(self._inputs())
        assert set(logits) == set(_CLASSES)
        for name, classes in _CLASSES.items():
            assert logits[name].shape == (_BATCH, len(classes))
            assert logits[name].isfinite().all()

    def test_photographs_are_independent(self) -> None:
        """In evaluation, the logits of a photograph do not depend on the others in the batch."""
        import torch

        network, inputs = self.build().eval(), self._inputs()
        with torch.no_grad():
            together = network(inputs)
            alone = network({name: array[:1] for name, array in inputs.items()})
        for name in _CLASSES:
            assert torch.allclose(together[name][:1], alone[name], atol=1e-4)

    def test_every_parameter_gets_a_gradient(self) -> None:
        """No trainable parameter is left out of the computation."""
        network = self.build().train()
        sum(logits.square().sum() for logits in network(self._inputs()).values()).backward()
        without = [name for name, p in network.named_parameters() if p.requires_grad and p.grad is None]
        assert not without, f"parameters without a gradient: {', '.join(without)}"

    def test_weights_survive_saving(self, tmp_path: Path) -> None:
        """Weights saved as safetensors restore the same logits in a new network."""
        import torch
        from safetensors.torch import load_model, save_model

        network, restored = self.build(), self.build()
        save_model(network, str(tmp_path / "weights.safetensors"))
        load_model(restored, tmp_path / "weights.safetensors")
        with torch.no_grad():
            expected, logits = (model.eval()(self._inputs()) for model in (network, restored))
        for name in _CLASSES:
            assert torch.equal(expected[name], logits[name])

    def test_unknown_option_raises_type_error(self) -> None:
        """A misspelt option is an error, not ignored."""
        with pytest.raises(TypeError):
            self.build(no_such_option=1)

    def test_recipe_trains_evaluates_and_predicts(self, tmp_path: Path) -> None:
        """A model of the architecture is trained from a recipe with its options, evaluated and used."""
        project = create_project(tmp_path / "project")
        size = ("--count", "48", "--size", "128x96", "--photographers", "12")
        run_lightmeter(project, "harvest", "run", "simulator", *size)
        run_lightmeter(project, "labels", "apply", "shutter-binary")
        run_lightmeter(project, "labels", "split", "small", "--target", "shutter-binary")
        (project / "recipe.toml").write_text(self._recipe(), encoding="utf-8")
        train = ("models", "train", "recipe.toml", "--data", "small", "--device", "cpu", "--out", "run")
        assert "validation" in run_lightmeter(project, *train)["metrics"]
        spec = tomllib.loads((project / "run" / "model.toml").read_text(encoding="utf-8"))
        assert spec.get("architecture_options", {}) == self.options
        assert "test" in run_lightmeter(project, "models", "evaluate", "run")["metrics"]
        photo = next(path for path in (project / "store").rglob("*") if path.is_file())
        (answer,) = run_lightmeter(project, "models", "predict", "run", photo)
        assert set(answer["predictions"]["shutter-binary"]["probabilities"]) == {"fast", "slow"}

    def _recipe(self) -> str:
        import tomli_w

        recipe = {
            "summary": "Test of an architecture.",
            "source": "lightmeter.testing",
            "architecture": self.architecture,
            "architecture_options": self.options,
            "preprocessing": self.preprocessing,
        }
        return f"{tomli_w.dumps(recipe)}\n{self.training}\n"

    def build(self, preprocessing: dict[str, Any] | None = None, **options: Any) -> "nn.Module":
        """Build the network with two targets.

        Args:
            preprocessing: Fields of `Preprocessing` (default: those of the class).
            **options: Options that replace those of the class.
        """
        import torch

        from lightmeter.models.architectures import build
        from lightmeter.models.runtime.spec import ModelSpec, Preprocessing, Target

        torch.manual_seed(0)
        targets = tuple(Target(name, classes) for name, classes in _CLASSES.items())
        fields = Preprocessing(**(preprocessing or self.preprocessing))
        return build(ModelSpec("test", "1.0", "0", "test", self.architecture, fields, targets, self.options | options))

    def _inputs(self) -> dict[str, Any]:
        """Return a batch of random photographs as the network gets them."""
        import numpy as np
        import torch

        from lightmeter.models.runtime.predictor import to_tensors
        from lightmeter.models.runtime.preprocess import preprocess
        from lightmeter.models.runtime.spec import Preprocessing

        preprocessing = Preprocessing(**self.preprocessing)
        inputs = [preprocess(photograph(seed, size=(160, 120)), preprocessing).inputs for seed in range(_BATCH)]
        batch = {name: np.stack([item[name] for item in inputs]) for name in inputs[0]}
        return to_tensors(batch, preprocessing, torch.device("cpu"))
