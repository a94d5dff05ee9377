"""The kit for authors of plugins; see `lightmeter.testing.sources`, where it lives.

Only the name is down here, where authors look for it: nothing of Lightmeter imports this module.
"""

from lightmeter.testing.sources import Service, SourceTests, photograph, served

__all__ = ["Service", "SourceTests", "photograph", "served"]
