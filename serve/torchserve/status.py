"""Status of a server, as printed by ``lightmeter serve status``."""

import re
from collections import defaultdict
from typing import Any

from lightmeter.serve.client import Client, ready_workers
from lightmeter.serve.torchserve.processes import is_running, java_pids, resident_bytes
from lightmeter.serve.torchserve.state import ServerDirectory

_INFERENCE_METRIC = re.compile(
    r'^ts_inference_(latency_microseconds|requests_total)\{model_name="([^"]*)".*\} (\S+)$', re.MULTILINE
)


def server_status(directory: ServerDirectory) -> dict[str, Any]:
    """Return the models of a server with their workers, its addresses and its Java."""
    state = directory.read()
    if state is None or not is_running(state):
        return {"server": directory.name, "running": False, "models": [], "addresses": {}, "java": None}
    with Client(directory, state) as client:
        latencies = mean_latencies(client.metrics())
        models = [_model_status(model, latencies) for model in client.models().values()]
    return {
        "server": directory.name,
        "running": True,
        "models": models,
        "addresses": {name: getattr(state, name) for name in ("inference", "management", "metrics", "grpc")},
        "java": state.java,
        "java_memory_bytes": resident_bytes(java_pids(state)),
        "pid": state.pid,
        "logs": str(directory.logs),
        "tokens": str(directory.keys),
    }


def mean_latencies(metrics: str) -> dict[str, float]:
    """Return the mean latency of each model since the start, in milliseconds, from Prometheus counters."""
    latency: defaultdict[str, float] = defaultdict(float)
    requests: defaultdict[str, float] = defaultdict(float)
    for counter, model, value in _INFERENCE_METRIC.findall(metrics):  # one counter for each version of a model
        (requests if counter == "requests_total" else latency)[model] += float(value)
    return {model: latency[model] / 1000 / count for model, count in requests.items() if count}


def _model_status(model: dict[str, Any], latencies: dict[str, float]) -> dict[str, Any]:
    pids = [worker["pid"] for worker in model["workers"]]
    ready = ready_workers(model)
    return {
        "name": model["modelName"],
        "version": model["modelVersion"],
        "workers": len(pids),
        "ready": bool(pids) and ready == len(pids),
        "ready_workers": ready,
        "queue": model.get("jobQueueStatus", {}).get("pendingRequests"),
        "latency_ms": latencies.get(model["modelName"]),
        "batch_size": model["batchSize"],
        "max_batch_delay_ms": model["maxBatchDelay"],
        "memory_bytes": resident_bytes(pids),
        "pids": pids,
    }
