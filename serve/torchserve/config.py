"""TorchServe's configuration, written so that its traps stay shut.

Keys: TorchServe's "Advanced configuration" and "Metrics" pages. The management and metrics addresses are loopback
whatever address photographs are sent to; tokens stay on and models cannot be registered from outside, as is
TorchServe's default. Each server has temporary, log and working folders of its own: TorchServe keeps its process id,
its sockets and its tokens there, and two servers in one folder stop each other.
"""

import json
import socket
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from lightmeter.errors import LightmeterError, UsageError
from lightmeter.serve.handler.metrics import declaration
from lightmeter.serve.torchserve.state import ServedModel, ServerDirectory
from lightmeter.settings import ServeSection

LOOPBACK = "127.0.0.1"
START_TIMEOUT_S = 120
ANSWER_TIMEOUT_S = 120


@dataclass(frozen=True)
class Ports:
    """Where a server listens."""

    inference: int
    management: int
    metrics: int
    grpc_inference: int
    grpc_management: int


def torchserve_folder() -> Path:
    """Return the folder in which the package ``ts`` lies.

    Raises:
        LightmeterError: if TorchServe is not installed.
    """
    found = find_spec("ts")
    if found is None or not found.submodule_search_locations:
        raise LightmeterError("TorchServe is not installed; install the package torchserve 0.12.")
    return Path(found.submodule_search_locations[0])


def choose_ports(host: str, wanted: int = 0) -> Ports:
    """Return ports that are free now.

    Args:
        host: the address that photographs are sent to.
        wanted: its port; 0 for any.

    Raises:
        UsageError: if the wanted port is taken, or the address is not this machine's.
    """
    with ExitStack() as opened:
        sockets = [opened.enter_context(socket.socket(_family(host)))]
        sockets += [opened.enter_context(socket.socket()) for _ in range(4)]
        for index, each in enumerate(sockets):
            address = (host, wanted) if index == 0 else (LOOPBACK, 0)
            try:
                each.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                each.bind(address)
            except OSError as error:
                raise UsageError(
                    f"{host} port {wanted} cannot be listened on ({error.strerror}); choose another --port."
                ) from error
        return Ports(*(each.getsockname()[1] for each in sockets))


def _family(host: str) -> socket.AddressFamily:
    return socket.AF_INET6 if ":" in host else socket.AF_INET


def url(host: str, port: int) -> str:
    """Return the address of a port as TorchServe and HTTP write it."""
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def properties(
    home: ServerDirectory,
    settings: ServeSection,
    ports: Ports,
    models: Sequence[ServedModel],
    *,
    model_api: bool = False,
) -> str:
    """Return ``config.properties``."""
    values: dict[str, object] = {
        "inference_address": url(settings.host, ports.inference),
        "management_address": url(LOOPBACK, ports.management),
        "metrics_address": url(LOOPBACK, ports.metrics),
        "grpc_inference_address": LOOPBACK,
        "grpc_inference_port": ports.grpc_inference,
        "grpc_management_address": LOOPBACK,
        "grpc_management_port": ports.grpc_management,
        "model_store": home.archives,
        "load_models": ",".join(model.archive for model in models),
        "models": json.dumps(_models(settings, models)),
        "metrics_mode": "prometheus",
        "metrics_config": home.metrics,
        "disable_system_metrics": "true",
        "enable_envvars_config": "false",
        "enable_model_api": str(model_api).lower(),
        "install_py_dep_per_model": "false",
        "job_queue_size": 1000,
        "max_request_size": settings.max_request_bytes,
        "token_expiration_min": settings.token_minutes,
        "default_startup_timeout": START_TIMEOUT_S,
        "default_response_timeout": ANSWER_TIMEOUT_S,
    }
    return "".join(f"{key}={_escaped(str(value))}\n" for key, value in values.items())


def _models(settings: ServeSection, models: Sequence[ServedModel]) -> dict[str, dict[str, Any]]:
    described: dict[str, dict[str, Any]] = {}
    for model in models:
        described.setdefault(model.name, {})[model.version] = {
            "marName": model.archive,
            "minWorkers": settings.workers,
            "maxWorkers": settings.workers,
            "batchSize": settings.batch_size,
            "maxBatchDelay": settings.max_batch_delay_ms,
            "responseTimeout": ANSWER_TIMEOUT_S,
        }
    return described


def _escaped(value: str) -> str:
    """Return a value as Java's ``Properties`` reads it: Latin-1, backslash escapes."""
    return "".join(_letter(letter) for letter in value)


def _letter(letter: str) -> str:
    if letter == "\\":
        return "\\\\"
    if " " <= letter <= "~":
        return letter
    units = letter.encode("utf-16-be")
    return "".join(f"\\u{units[at : at + 2].hex()}" for at in range(0, len(units), 2))


def declared_metrics() -> dict[str, Any]:
    """Return the metrics that TorchServe declares itself and ours; it shows none that are not declared."""
    import yaml

    own = yaml.safe_load((torchserve_folder() / "configs" / "metrics.yaml").read_text(encoding="utf-8"))
    declared: dict[str, Any] = own
    for kind, metrics in declaration().items():
        declared["model_metrics"].setdefault(kind, []).extend(metrics)
    return declared
