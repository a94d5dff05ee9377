"""Packages that only some commands need."""

from collections.abc import Iterator
from contextlib import contextmanager

from lightmeter.errors import UsageError


@contextmanager
def require(extra: str, package: str) -> Iterator[None]:
    """Say which extra brings a package, if the block cannot import it."""
    try:
        yield
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] != package:
            raise
        raise UsageError(f"This needs {package}: pip install 'lightmeter[{extra}]'.") from error
