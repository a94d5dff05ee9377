"""Label photographs and create leakage-safe data sets."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lightmeter.labels.datasets.dataset import open_dataset
    from lightmeter.labels.targets.base import Decision, Target

__all__ = ["Decision", "Target", "open_dataset"]


def __getattr__(name: str) -> Any:
    if name == "open_dataset":
        from lightmeter.labels.datasets.dataset import open_dataset

        return open_dataset
    if name in __all__:
        from lightmeter.labels.targets import base

        return getattr(base, name)
    raise AttributeError(f"module '{__name__}' has no attribute '{name}'")
