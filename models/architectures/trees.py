"""Boosted decision trees as a network: the sum of the values of the leaves that a photograph reaches."""

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from ..runtime.spec import ModelSpec
from . import register_architecture


class Ensemble(nn.Module):
    """The trees of one target; an unused tree is a leaf of value zero.

    Args:
        trees: Number of trees for each class.
        nodes: Maximum number of nodes of a tree.
        classes: Number of classes.
        measures: Number of measures that a node can test.
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
        self.register_buffer("feature", torch.zeros(shape, dtype=torch.int64))
        for name in ("below", "above"):  # a leaf is its own child
            self.register_buffer(name, torch.arange(nodes).repeat(trees, classes, 1))
        self.register_buffer("threshold", torch.zeros(shape, dtype=torch.float64))
        self.register_buffer("value", torch.zeros(shape, dtype=torch.float64))
        self.depth = nodes // 2
        nn.Module.register_load_state_dict_post_hook(self, lambda loaded, _keys: loaded.check())

    def check(self) -> None:
        """Check that every index is within the tables, as untrusted weights may not be.

        Raises:
            ValueError: An index is out of range.
        """
        nodes = self.value.shape[2]
        for name, size in (("feature", self.measures), ("below", nodes), ("above", nodes)):
            values = self.get_buffer(name)
            if values.numel() and not 0 <= int(values.min()) <= int(values.max()) < size:
                raise ValueError(f"the table '{name}' of a tree has an index out of range")

    def forward(self, measures: Tensor) -> Tensor:
        """Return logits of shape (N, C) for measures of shape (N, M)."""
        node = torch.zeros((measures.shape[0], *self.feature.shape[:2]), dtype=torch.int64, device=measures.device)
        for _ in range(self.depth):
            values = measures.gather(1, self._at(self.feature, node).flatten(1)).view_as(node).double()
            below = values <= self._at(self.threshold, node)
            node = torch.where(below, self._at(self.below, node), self._at(self.above, node))
        return self._at(self.value, node).sum(1).float()

    def _at(self, table: Tensor, node: Tensor) -> Tensor:
        return table.expand(node.shape[0], *table.shape).gather(3, node[..., None])[..., 0]


@register_architecture("trees")
class Trees(nn.Module):
    """An ensemble of trees for each target, on the input ``measures``.

    Args:
        spec: The specification of the model.
        iterations: Maximum number of trees for each class.
        leaves: Maximum number of leaves of a tree.
    """

    def __init__(self, spec: ModelSpec, *, iterations: int = 200, leaves: int = 8) -> None:
        super().__init__()
        measures = spec.preprocessing.measure_count
        self.targets = nn.ModuleDict(
            {name: Ensemble(iterations, 2 * leaves - 1, count, measures) for name, count in spec.classes.items()}
        )

    def forward(self, inputs: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Return logits of shape (N, C) by target."""
        return {name: ensemble(inputs["measures"]) for name, ensemble in self.targets.items()}
