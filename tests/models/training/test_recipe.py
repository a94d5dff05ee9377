"""Reading recipes and changing their settings."""

from pathlib import Path

import pytest

from lightmeter.errors import UsageError
from lightmeter.models.training.methods import Network, Probe
from lightmeter.models.training.recipe import list_recipes, read_recipe
from tests.models.conftest import TINY

OWN_RECIPE = """
summary = "x"
source = "x"
architecture = "efficientnet-lite0"
[training]
method = "{method}"
"""


@pytest.mark.parametrize("name", TINY)
def test_built_in_recipe_is_valid(name: str) -> None:
    assert read_recipe(name).name == name


def test_built_in_recipes_are_listed() -> None:
    assert set(list_recipes()) == set(TINY)


@pytest.mark.parametrize("key", ["patch_size", "preprocessing.patch_size"])
def test_key_may_be_shortened(key: str) -> None:
    assert read_recipe("patches", [f"{key}=64"]).preprocessing.patch_size == 64


def test_values_are_toml_or_text() -> None:
    recipe = read_recipe("patches", ["penalties=[1.0, 0.1]", "class_weights=false", "weights=", "backbone=resnet_50"])
    assert isinstance(recipe.training, Probe)
    assert recipe.training.penalties == [1.0, 0.1]
    assert recipe.training.class_weights is False
    assert recipe.weights == ""
    assert recipe.architecture_options == {"backbone": "resnet_50"}


def test_phases_can_be_changed_individually() -> None:
    recipe = read_recipe("haoran-mobilenet", ["training.phases.1.epochs=3", "phases.0.freeze=[]"])
    assert isinstance(recipe.training, Network)
    assert [phase.epochs for phase in recipe.training.phases] == [15, 3]
    assert recipe.training.phases[0].freeze == []


def test_options_of_the_architecture_come_from_its_builder() -> None:
    """The recipe small-cnn has no default for them."""
    recipe = read_recipe("quality-features", ["architecture=small-cnn", "dense=8", "architecture_options.filters=4"])
    assert recipe.architecture_options["dense"] == 8
    assert recipe.architecture_options["filters"] == 4


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("patches", "Invalid --set 'patches': use KEY=VALUE."),
        ("patch_sise=64", "did you mean patch_size"),
        ("patches=-1", "patches must be between 0 and 4096"),
        ("patches=many", "patches must be a whole number"),
        ("penalties=strong", "invalid 'training.probe.penalties'"),
        ("folds=1", "use 0 folds, or 2 or more"),
        ("random_intercept_variances=[1.0]", "set folds as well"),
        ("architecture=small-cmm", "did you mean small-cnn"),
        ("exif=['lens']", "unknown EXIF tag 'lens'"),
        ("std=[1.0, 0.0, 1.0]", "std must be above zero"),
        ("mean=[1.0]", "mean must be a list of 3 numbers"),
    ],
)
def test_invalid_setting_raises_error(setting: str, message: str) -> None:
    with pytest.raises(UsageError) as caught:
        read_recipe("patches", [setting])
    assert message in str(caught.value)


def test_ambiguous_key_raises_error() -> None:
    with pytest.raises(UsageError, match="Ambiguous --set epochs: use one of training"):
        read_recipe("haoran-mobilenet", ["epochs=1"])


def test_unknown_or_unreadable_recipe_raises_error(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="did you mean patches"):
        read_recipe("patchs")
    with pytest.raises(UsageError, match=r"Cannot read missing\.toml"):
        read_recipe("missing.toml")
    file = tmp_path / "mine.toml"
    file.write_text("summary = ")
    with pytest.raises(UsageError, match="is not valid TOML"):
        read_recipe(str(file))


def test_own_recipe_is_validated(tmp_path: Path) -> None:
    file = tmp_path / "mine.toml"
    file.write_text(OWN_RECIPE.format(method="probe"))
    assert read_recipe(str(file)).name == "mine"
    file.write_text(OWN_RECIPE.format(method="guess"))
    with pytest.raises(UsageError, match="'training'"):
        read_recipe(str(file))
