"""Which parts of a network are trained in a phase, and which stay as they are."""

from torch import nn

from lightmeter.models.training.recipe import Phase


def frozen_parameters(network: nn.Module, phase: Phase) -> set[str]:
    """Return the names of the parameters that stay as they are."""
    names = [name for name, _ in network.named_parameters()]
    trunk = [name for name in names if name.startswith("backbone.")]
    first = trunk[: round(phase.freeze_fraction * len(trunk))]
    return {*first, *(name for name in names if name.startswith(tuple(phase.freeze)))}


def set_trainable(network: nn.Module, phase: Phase) -> list[nn.Parameter]:
    """Let all parameters be trained but the frozen ones, and return the former."""
    still = frozen_parameters(network, phase)
    for name, parameter in network.named_parameters():
        parameter.requires_grad_(name not in still)
    return [parameter for parameter in network.parameters() if parameter.requires_grad]


def set_train_mode(network: nn.Module, phase: Phase) -> None:
    """Put a network into training mode, but let the statistics of frozen normalisation layers be."""
    network.train()
    still = frozen_parameters(network, phase)
    for name, module in network.named_modules():
        own = [f"{name}.{parameter}" for parameter, _ in module.named_parameters(recurse=False)]
        if (own and still.issuperset(own)) or (name and phase.freeze and name.startswith(tuple(phase.freeze))):
            module.eval()
