"""Test kit for authors of plugins: one class of pytest tests for each kind of plugin.

Subclass the class of tests, name the plugin, and add the fixtures that it asks for; the package with the plugin must
be installed. The examples in the classes are complete test modules, and ``docs/plugins.md`` explains them. pytest is
required. Nothing else in Lightmeter imports this package.
"""

from lightmeter.testing.architectures import ArchitectureTests
from lightmeter.testing.filters import FilterTests
from lightmeter.testing.server import ServedFolder, photograph, served
from lightmeter.testing.sources import SourceTests
from lightmeter.testing.targets import TargetTests

__all__ = [
    "ArchitectureTests",
    "FilterTests",
    "ServedFolder",
    "SourceTests",
    "TargetTests",
    "photograph",
    "served",
]
