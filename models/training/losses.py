"""What training makes small."""

from collections.abc import Mapping

import torch
from torch import Tensor
from torch.nn import functional

from lightmeter.models.runtime.spec import Target


def gaussian_soft_targets(stops: Tensor, centres: Tensor, width: float) -> Tensor:
    """Return the truth about settings as a bell over the classes instead of one of them.

    A wrong answer near the truth then costs less than one far away (R. Díaz and A. Marathe, "Soft labels for ordinal
    regression", CVPR 2019).

    Args:
        stops: true settings, shape (N,).
        centres: of the classes, shape (C,).
        width: standard deviation in stops.

    Returns:
        Shares of the classes, shape (N, C).
    """
    return torch.softmax(-((centres[None] - stops[:, None]) ** 2) / (2 * width**2), 1)


class Loss:
    """Cross-entropy over every target, photographs without a label left out of it.

    Where a photograph can have several classes at once, it is the mean of one cross-entropy a class. Those are not
    weighted: a class is said from a probability of one half on, so probabilities must not be shifted.

    Args:
        targets: of the model.
        classes: of every training photograph by target, as `__call__` takes them; for the class weights.
        class_weights: let every class count the same, where a photograph has one.
        soft_target_std: standard deviation of the bell in stops; 0 for one class.
        device: where it is computed.
    """

    def __init__(
        self,
        targets: tuple[Target, ...],
        classes: Mapping[str, Tensor],
        device: torch.device,
        *,
        class_weights: bool,
        soft_target_std: float,
    ) -> None:
        self.soft_target_std = soft_target_std
        self.stops = {target.name: torch.tensor(target.stops, device=device) for target in targets if target.stops}
        self.weights = {
            target.name: _weights(classes[target.name], len(target.classes), even=class_weights).to(device)
            for target in targets
            if not target.multiple
        }

    def __call__(
        self, logits: Mapping[str, Tensor], classes: Mapping[str, Tensor], stops: Mapping[str, Tensor]
    ) -> Tensor:
        """Return the mean loss over targets.

        Args:
            logits: shape (N, C) by target.
            classes: shape (N,) by target, −1 where there is none; for several at once 1 or 0 of shape (N, C), NaN
                where there are none.
            stops: shape (N,) by target.
        """
        losses = [
            self._one(name, values, classes[name], stops[name])
            if name in self.weights
            else _of_sets(values, classes[name])
            for name, values in logits.items()
        ]
        return torch.stack(losses).mean()

    def _one(self, name: str, logits: Tensor, classes: Tensor, stops: Tensor) -> Tensor:
        known = classes >= 0
        if not known.any():
            return logits.sum() * 0.0  # every head takes part in every step, or processes would wait for each other
        logits, classes, stops = logits[known].float(), classes[known], stops[known]
        weights = self.weights[name][classes]
        if self.soft_target_std and name in self.stops:
            truth = gaussian_soft_targets(stops, self.stops[name], self.soft_target_std)
            each = -(truth * torch.log_softmax(logits, 1)).sum(1)
        else:
            each = functional.cross_entropy(logits, classes, reduction="none")
        return (each * weights).sum() / weights.sum()


def _of_sets(logits: Tensor, sets: Tensor) -> Tensor:
    known = sets[:, 0].isfinite()
    if not known.any():
        return logits.sum() * 0.0
    return functional.binary_cross_entropy_with_logits(logits[known].float(), sets[known])


def _weights(classes: Tensor, count: int, *, even: bool) -> Tensor:
    if not even:
        return torch.ones(count)
    numbers = torch.bincount(classes[classes >= 0], minlength=count).float()
    return torch.where(numbers > 0, numbers.sum() / (numbers.clamp(min=1) * (numbers > 0).sum()), 1.0)
