"""Train, evaluate and analyse models that estimate how a photograph was made.

`load_predictor` opens a training run for prediction; `train` and `evaluate` create and evaluate one;
`register_architecture` adds a network.
"""

from typing import TYPE_CHECKING

from lightmeter import lazy_exports

if TYPE_CHECKING:
    from lightmeter.models.api import evaluate, load_predictor, train
    from lightmeter.models.architectures import register_architecture
    from lightmeter.models.runtime.spec import ModelSpec
    from lightmeter.models.training.recipe import Recipe

__all__ = ["ModelSpec", "Recipe", "evaluate", "load_predictor", "register_architecture", "train"]

__getattr__ = lazy_exports(
    __name__,
    {
        **dict.fromkeys(("evaluate", "load_predictor", "train"), "api"),
        "ModelSpec": "runtime.spec",
        "Recipe": "training.recipe",
        "register_architecture": "architectures",
    },
)
