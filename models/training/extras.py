"""Optional dependencies."""

from collections.abc import Iterator
from contextlib import contextmanager

from lightmeter.errors import UsageError


@contextmanager
def require(extra: str, package: str) -> Iterator[None]:
    """Raise an error that names the missing extra if the block cannot import a package."""
    try:
        yield
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] != package:
            raise
        raise UsageError(f"This command needs {package}: pip install 'lightmeter[{extra}]'.") from error
