"""Lightmeter estimates how a photograph was made: aperture, ISO, shutter speed, focal length, film or digital.

The names below are the entry points for notebooks. `lightmeter.harvest`, `lightmeter.labels`, `lightmeter.models` and
`lightmeter.serve` export what plugins build on, `lightmeter.testing` what tests them.
"""

from typing import TYPE_CHECKING

from lightmeter.errors import LightmeterError, UsageError
from lightmeter.exports import lazy_exports
from lightmeter.project import Project

if TYPE_CHECKING:
    from lightmeter.harvest import open_catalogue
    from lightmeter.labels import open_dataset
    from lightmeter.models import load_predictor

__version__ = "0.1.0"

__all__ = ["LightmeterError", "Project", "UsageError", "load_predictor", "open_catalogue", "open_dataset"]

__getattr__ = lazy_exports(
    __name__, {"load_predictor": "models", "open_catalogue": "harvest", "open_dataset": "labels"}
)
