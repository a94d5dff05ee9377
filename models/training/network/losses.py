"""Loss functions of network training."""

from collections.abc import Mapping

import torch
from torch import Tensor
from torch.nn import functional

from lightmeter.models.runtime.spec import Target
from lightmeter.models.training.methods import Network


def gaussian_soft_targets(stops: Tensor, centres: Tensor, std: float) -> Tensor:
    """Return Gaussian soft targets, for which an error costs less near the truth than far away.

    R. Díaz and A. Marathe, "Soft labels for ordinal regression", CVPR 2019.

    Args:
        stops: True settings in stops, shape (N,).
        centres: Stops of the classes, shape (C,).
        std: Standard deviation in stops.

    Returns:
        Class shares, shape (N, C).
    """
    return torch.softmax(-((centres[None] - stops[:, None]) ** 2) / (2 * std**2), 1)


class Loss:
    """Mean cross-entropy over all targets; photographs without a label are ignored.

    For multilabel targets it is the mean binary cross-entropy over the classes. It has no class weights, since a class
    is predicted from a probability of one half and weights would shift the probabilities.

    Args:
        targets: Targets of the model.
        classes: Classes of all training photographs by target, as in `Batch.classes`; for the class weights.
        device: Device of the loss.
        training: Class weights and soft targets.
    """

    def __init__(
        self,
        targets: tuple[Target, ...],
        classes: Mapping[str, Tensor],
        device: torch.device,
        training: Network,
    ) -> None:
        self.soft_target_std = training.soft_target_std
        self.stops = {target.name: torch.tensor(target.stops, device=device) for target in targets if target.stops}
        self.weights = {
            target.name: _weights(
                classes[target.name], len(target.classes), inverse=training.weights_classes(target.name)
            ).to(device)
            for target in targets
            if not target.multilabel
        }

    def __call__(
        self, logits: Mapping[str, Tensor], classes: Mapping[str, Tensor], stops: Mapping[str, Tensor]
    ) -> Tensor:
        """Return the mean loss over all targets.

        Args:
            logits: Logits by target, each of shape (N, C), on the device.
            classes: As in `Batch.classes`, in the memory of the processor: which photographs have a label is then
                known without waiting for a GPU.
            stops: As in `Batch.stops`, likewise.
        """
        losses = [
            self._cross_entropy(name, values, classes[name], stops[name])
            if name in self.weights
            else _binary_cross_entropy(values, classes[name])
            for name, values in logits.items()
        ]
        return torch.stack(losses).mean()

    def _cross_entropy(self, name: str, logits: Tensor, classes: Tensor, stops: Tensor) -> Tensor:
        labelled = classes >= 0
        if not labelled.any():
            return logits.sum() * 0.0  # with DDP every head must take part in every step
        logits, classes, stops = _select(labelled, logits, classes, stops)
        weights = self.weights[name][classes]
        if self.soft_target_std and name in self.stops:
            truth = gaussian_soft_targets(stops, self.stops[name], self.soft_target_std)
            losses = -(truth * torch.log_softmax(logits, 1)).sum(1)
        else:
            losses = functional.cross_entropy(logits, classes, reduction="none")
        return (losses * weights).sum() / weights.sum()


def _binary_cross_entropy(logits: Tensor, classes: Tensor) -> Tensor:
    labelled = classes[:, 0].isfinite()
    if not labelled.any():
        return logits.sum() * 0.0
    logits, classes = _select(labelled, logits, classes)
    return functional.binary_cross_entropy_with_logits(logits, classes)


def _select(labelled: Tensor, logits: Tensor, *labels: Tensor) -> tuple[Tensor, ...]:
    """Return the logits and labels of some photographs, on the device of the logits.

    Args:
        labelled: The photographs, shape (N,), in the memory of the processor, as the labels are.
    """
    if not labelled.all():
        logits = logits[labelled.nonzero().squeeze(1).to(logits.device, non_blocking=True)]
        labels = tuple(values[labelled] for values in labels)
    return logits.float(), *(values.to(logits.device, non_blocking=True) for values in labels)


def _weights(classes: Tensor, count: int, *, inverse: bool) -> Tensor:
    if not inverse:
        return torch.ones(count)
    numbers = torch.bincount(classes[classes >= 0], minlength=count).float()
    return torch.where(numbers > 0, numbers.sum() / (numbers.clamp(min=1) * (numbers > 0).sum()), 1.0)
