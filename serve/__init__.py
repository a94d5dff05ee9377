"""Serve models with TorchServe.

`write_archive` packages a training run for TorchServe; `Client` sends photographs to a running server.
"""

from typing import TYPE_CHECKING

from lightmeter import lazy_exports

if TYPE_CHECKING:
    from lightmeter.serve.archive import write_archive
    from lightmeter.serve.client import Client

__all__ = ["Client", "write_archive"]

__getattr__ = lazy_exports(__name__, {"Client": "client", "write_archive": "archive"})
