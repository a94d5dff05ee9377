"""Label photographs and create leakage-safe data sets.

Subclass `Target` to add a property that models predict; `open_dataset` reads a data set.
"""

from typing import TYPE_CHECKING

from lightmeter.exports import lazy_exports

if TYPE_CHECKING:
    from lightmeter.labels.datasets.dataset import open_dataset
    from lightmeter.labels.targets.base import Decision, Target

__all__ = ["Decision", "Target", "open_dataset"]

__getattr__ = lazy_exports(
    __name__, {"Decision": "targets.base", "Target": "targets.base", "open_dataset": "datasets.dataset"}
)
