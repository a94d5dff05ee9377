"""The kit for authors of plugins; see `harvest.testing`, where it lives.

Only the name is down here, where authors look for it: nothing of Lightmeter imports this module.
"""

from harvest.testing import Service, SourceTests, photograph, served

__all__ = ["Service", "SourceTests", "photograph", "served"]
