"""TorchServe's configuration.

Keys: TorchServe's documentation, "Advanced configuration" and "Metrics". The management and metrics addresses are
always loopback; tokens stay on and models cannot be registered from outside, as is TorchServe's default. Each server
has its own temporary, log and working directories: TorchServe keeps its process id, sockets and tokens there, and two
servers in one directory stop each other.
"""

import json
import socket
from collections.abc import Sequence
from contextlib import ExitStack
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

from lightmeter.errors import LightmeterError, UsageError
from lightmeter.files import write_atomic
from lightmeter.serve.handler.metrics import declared_model_metrics
from lightmeter.serve.torchserve.state import ServedModel, ServerDirectory
from lightmeter.settings import ServeSection
from lightmeter.web import LOOPBACK

START_TIMEOUT_S = 120
RESPONSE_TIMEOUT_S = 120


class Ports(NamedTuple):
    """Ports of a server."""

    inference: int
    management: int
    metrics: int
    grpc_inference: int
    grpc_management: int


def torchserve_folder() -> Path:
    """Return the directory of the package ``ts``.

    Raises:
        LightmeterError: TorchServe is not installed.
    """
    spec = find_spec("ts")
    if spec is None or not spec.submodule_search_locations:
        raise LightmeterError("TorchServe is not installed; run: pip install 'torchserve>=0.12,<0.13'")
    return Path(spec.submodule_search_locations[0])


def free_ports(host: str, inference: int = 0) -> Ports:
    """Return ports that are free now.

    Args:
        host: Address of the inference API.
        inference: Port of the inference API; 0 for any.

    Raises:
        UsageError: The port is in use, or the address does not belong to this machine.
    """
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET))]
        sockets += [stack.enter_context(socket.socket()) for _ in range(4)]
        addresses = [(host, inference), *[(LOOPBACK, 0)] * 4]
        for each, address in zip(sockets, addresses, strict=True):
            try:
                each.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                each.bind(address)
            except OSError as error:
                raise UsageError(
                    f"{host} port {inference} cannot be bound ({error.strerror}); choose another --port."
                ) from error
        return Ports(*(each.getsockname()[1] for each in sockets))


def url(host: str, port: int) -> str:
    """Return the URL of a port; IPv6 addresses are put in brackets."""
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def addresses(host: str, ports: Ports) -> dict[str, str]:
    """Return the addresses at which this machine reaches a server that listens on a host."""
    reachable = LOOPBACK if host in {"0.0.0.0", "::"} else host  # noqa: S104 - compared, not bound
    return {
        "inference": url(reachable, ports.inference),
        "management": url(LOOPBACK, ports.management),
        "metrics": url(LOOPBACK, ports.metrics),
        "grpc": f"{LOOPBACK}:{ports.grpc_inference}",
    }


def write_configuration(
    directory: ServerDirectory, settings: ServeSection, ports: Ports, models: Sequence[ServedModel], *, model_api: bool
) -> None:
    """Write ``config.properties`` and ``metrics.yaml`` of a server."""
    metrics = directory.path / "metrics.yaml"
    write_atomic(metrics, json.dumps(declared_metrics(), indent=2))  # JSON is valid YAML
    values: dict[str, object] = {
        "inference_address": url(settings.host, ports.inference),
        "management_address": url(LOOPBACK, ports.management),
        "metrics_address": url(LOOPBACK, ports.metrics),
        "grpc_inference_address": LOOPBACK,
        "grpc_inference_port": ports.grpc_inference,
        "grpc_management_address": LOOPBACK,
        "grpc_management_port": ports.grpc_management,
        "model_store": directory.archives,
        "load_models": ",".join(model.archive for model in models),
        "models": json.dumps(_model_settings(settings, models)),
        "metrics_mode": "prometheus",
        "metrics_config": metrics,
        "disable_system_metrics": "true",
        "enable_envvars_config": "false",
        "enable_model_api": str(model_api).lower(),
        "install_py_dep_per_model": "false",
        "job_queue_size": 1000,
        "max_request_size": settings.max_request_bytes,
        "token_expiration_min": settings.token_minutes,
        "default_startup_timeout": START_TIMEOUT_S,
        "default_response_timeout": RESPONSE_TIMEOUT_S,
    }
    text = "".join(f"{key}={_escape(str(value))}\n" for key, value in values.items())
    write_atomic(directory.configuration, text)


def _model_settings(settings: ServeSection, models: Sequence[ServedModel]) -> dict[str, dict[str, Any]]:
    """Return the settings of each version of each model, by name and version."""
    by_name: dict[str, dict[str, Any]] = {}
    for model in models:
        by_name.setdefault(model.name, {})[model.version] = {
            "marName": model.archive,
            "minWorkers": settings.workers,
            "maxWorkers": settings.workers,
            "batchSize": settings.batch_size,
            "maxBatchDelay": settings.max_batch_delay_ms,
            "responseTimeout": RESPONSE_TIMEOUT_S,
        }
    return by_name


def _escape(value: str) -> str:
    """Escape a value for Java's ``Properties``: double backslashes, and write non-ASCII UTF-16 units as hexadecimal."""
    units = value.replace("\\", "\\\\").encode("utf-16-be")
    codes = [int.from_bytes(units[index : index + 2]) for index in range(0, len(units), 2)]
    return "".join(chr(code) if 0x20 <= code <= 0x7E else f"\\u{code:04x}" for code in codes)


def declared_metrics() -> dict[str, Any]:
    """Return TorchServe's own metrics and ours; TorchServe exports only declared metrics."""
    import yaml

    text = (torchserve_folder() / "configs" / "metrics.yaml").read_text(encoding="utf-8")
    declared: dict[str, Any] = yaml.safe_load(text)
    for kind, metrics in declared_model_metrics().items():
        declared["model_metrics"].setdefault(kind, []).extend(metrics)
    return declared
