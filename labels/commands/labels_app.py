"""The commands of ``lightmeter labels``."""

from lightmeter.labels.commands import app

__all__ = ["app"]
