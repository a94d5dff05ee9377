"""TorchServe's configuration.

Keys: TorchServe's documentation, "Advanced configuration" and "Metrics". The management and metrics addresses are
always loopback; tokens stay on and models cannot be registered from outside, as is TorchServe's default. The inference
address is the gateway's, which the supervisor puts in front of TorchServe. Each server has its own temporary, log and
working directories: TorchServe keeps its process id, sockets and tokens there, and two servers in one directory stop
each other.
"""

import json
import socket
from collections.abc import Sequence
from contextlib import ExitStack
from typing import Any, NamedTuple

from lightmeter.errors import UsageError
from lightmeter.files import write_atomic
from lightmeter.serve.gateway.server import local_url_of, url_of
from lightmeter.serve.handler.metrics import declared_model_metrics
from lightmeter.serve.torchserve.environment import torchserve_folder
from lightmeter.serve.torchserve.properties import write_properties
from lightmeter.serve.torchserve.state import ServedModel, ServerDirectory
from lightmeter.settings import ServeSection
from lightmeter.web import LOOPBACK

START_TIMEOUT_S = 120
RESPONSE_TIMEOUT_S = 120


class Ports(NamedTuple):
    """Loopback ports of a server."""

    management: int
    metrics: int
    grpc_inference: int
    grpc_management: int


def free_ports(settings: ServeSection | None = None) -> Ports:
    """Return the loopback ports of the settings, and ports that are free now in place of 0.

    Raises:
        UsageError: A port of the settings is in use, or is used twice.
    """
    wanted = settings or ServeSection()
    numbers = Ports(wanted.management_port, wanted.metrics_port, wanted.grpc_port, 0)
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in Ports._fields]
        for name, number, each in zip(Ports._fields, numbers, sockets, strict=True):
            each.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, int(number > 0))
            try:
                each.bind((LOOPBACK, number))
            except OSError as error:
                raise UsageError(
                    f"The port {number} for {name.replace('_', ' ')} cannot be bound ({error.strerror}); change it "
                    "under [serve] in lightmeter.toml."
                ) from error
        return Ports(*(each.getsockname()[1] for each in sockets))


def addresses(host: str, port: int, ports: Ports) -> dict[str, str]:
    """Return the addresses at which this machine reaches a server.

    Args:
        host: Host that the server listens on.
        port: Port of the inference API.
        ports: The other ports.
    """
    return {
        "inference": local_url_of(host, port),
        "management": url_of(LOOPBACK, ports.management),
        "metrics": url_of(LOOPBACK, ports.metrics),
        "grpc": f"{LOOPBACK}:{ports.grpc_inference}",
    }


def write_configuration(
    directory: ServerDirectory,
    settings: ServeSection,
    inference: str,
    ports: Ports,
    models: Sequence[ServedModel],
    *,
    model_api: bool,
) -> None:
    """Write ``config.properties`` and ``metrics.yaml`` of a server; the supervisor completes them."""
    metrics = directory.path / "metrics.yaml"
    write_atomic(metrics, json.dumps(declared_metrics(), indent=2))  # JSON is valid YAML
    values: dict[str, object] = {
        "inference_address": inference,
        "management_address": url_of(LOOPBACK, ports.management),
        "metrics_address": url_of(LOOPBACK, ports.metrics),
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
    write_properties(directory.configuration, values)


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


def declared_metrics() -> dict[str, Any]:
    """Return TorchServe's own metrics and ours; TorchServe exports only declared metrics."""
    import yaml

    text = (torchserve_folder() / "configs" / "metrics.yaml").read_text(encoding="utf-8")
    declared: dict[str, Any] = yaml.safe_load(text)
    for kind, metrics in declared_model_metrics().items():
        declared["model_metrics"].setdefault(kind, []).extend(metrics)
    return declared
