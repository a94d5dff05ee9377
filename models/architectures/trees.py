"""Boosted decision trees as a network: sums of the values of the leaves that a photograph falls into.

The options ``iterations`` and ``leaves`` say how many trees a class there may be, and how many leaves a tree.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

if TYPE_CHECKING:
    from lightmeter.models.runtime.spec import ModelSpec

ITERATIONS, LEAVES = 200, 8


class Ensemble(nn.Module):
    """The trees of one target; a tree that was not grown is a leaf of value zero.

    Args:
        trees: number of trees for each class.
        nodes: of a tree, at most.
        classes: number of classes.
        measures: number of measures that a tree can ask for.
    """

    feature: Tensor
    threshold: Tensor
    below: Tensor
    above: Tensor
    value: Tensor

    def __init__(self, trees: int, nodes: int, classes: int, measures: int) -> None:
        super().__init__()
        self.measures = measures
        shape = (trees, classes, nodes)
        for name in ("feature", "below", "above"):  # a leaf's children are itself
            kind = torch.zeros(shape, dtype=torch.int64) if name == "feature" else torch.arange(nodes).expand(shape)
            self.register_buffer(name, kind.clone())
        self.register_buffer("threshold", torch.zeros(shape, dtype=torch.float64))
        self.register_buffer("value", torch.zeros(shape, dtype=torch.float64))
        self.depth = nodes // 2
        nn.Module.register_load_state_dict_post_hook(self, lambda loaded, _keys: loaded.check())

    def check(self) -> None:
        """Make sure that no tree points outside of itself, as one from a stranger might.

        Raises:
            ValueError: if one does.
        """
        nodes = self.value.shape[2]
        for name, end in (("feature", self.measures), ("below", nodes), ("above", nodes)):
            values = self.get_buffer(name)
            if values.numel() and not 0 <= int(values.min()) <= int(values.max()) < end:
                raise ValueError(f"a tree points to a {name} that is not there")

    def forward(self, measures: Tensor) -> Tensor:
        """Return logits of shape (N, C) for measures of shape (N, M)."""
        count = len(measures)
        place = torch.zeros((count, *self.feature.shape[:2]), dtype=torch.int64, device=measures.device)
        for _ in range(self.depth):
            seen = measures.gather(1, self._at(self.feature, place).flatten(1)).view_as(place).double()
            goes_below = seen <= self._at(self.threshold, place)
            place = torch.where(goes_below, self._at(self.below, place), self._at(self.above, place))
        return self._at(self.value, place).sum(1).float()

    def _at(self, table: Tensor, place: Tensor) -> Tensor:
        return table.expand(len(place), *table.shape).gather(3, place[..., None])[..., 0]


class Trees(nn.Module):
    """An ensemble a target, on the input ``measures``."""

    def __init__(self, classes: Mapping[str, int], iterations: int, leaves: int, measures: int) -> None:
        super().__init__()
        self.targets = nn.ModuleDict(
            {name: Ensemble(iterations, 2 * leaves - 1, count, measures) for name, count in classes.items()}
        )

    def forward(self, inputs: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Return logits of shape (N, C) by target."""
        return {name: ensemble(inputs["measures"]) for name, ensemble in self.targets.items()}


def build(spec: "ModelSpec") -> nn.Module:
    """Return the trees of a spec."""
    options = {"iterations": ITERATIONS, "leaves": LEAVES, **spec.architecture_options}
    return Trees(spec.classes, int(options["iterations"]), int(options["leaves"]), spec.preprocessing.measure_count)
