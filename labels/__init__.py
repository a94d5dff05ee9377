"""Label photographs and create leakage-safe data sets.

Subclass `Target` to add a property that models predict; `open_dataset` reads a data set.
"""

from typing import TYPE_CHECKING

from lightmeter import lazy_exports

if TYPE_CHECKING:
    from lightmeter.labels.datasets.dataset import open_dataset
    from lightmeter.labels.targets.base import (
        ClassDefinition,
        Decision,
        Definition,
        OpenDefinition,
        PhotoFacts,
        Target,
    )

__all__ = ["ClassDefinition", "Decision", "Definition", "OpenDefinition", "PhotoFacts", "Target", "open_dataset"]

__getattr__ = lazy_exports(__name__, dict.fromkeys(__all__, "targets.base") | {"open_dataset": "datasets.dataset"})
