"""Status of a server, as printed by ``lightmeter serve status``."""

import re
from collections import defaultdict
from typing import Any

from lightmeter.serve.client import Client, ready_workers
from lightmeter.serve.torchserve.processes import java_pids, processes_of, resident_bytes
from lightmeter.serve.torchserve.state import ServerDirectory, ServerState

_LITSERVE_METRIC = re.compile(r"^lightmeter_(?:decoding|inference)_seconds_(sum|count)\{.*\} (\S+)$", re.MULTILINE)
_INFERENCE_METRIC = re.compile(
    r'^ts_inference_(latency_microseconds|requests_total)\{model_name="([^"]*)".*\} (\S+)$', re.MULTILINE
)


def server_status(directory: ServerDirectory) -> dict[str, Any]:
    """Return the models of a server with their workers, its addresses and its Java."""
    state = directory.read()
    if state is None or not state.is_running:
        return {"server": directory.name, "running": False, "models": [], "addresses": {}, "java": None}
    with Client(directory, state) as client:
        metrics = client.metrics()
        if state.framework == "litserve":
            models = [_litserve_status(state, metrics, ready=client.is_ready())]
        else:
            latencies = mean_latencies(metrics)
            models = [_model_status(model, latencies) for model in client.models().values()]
    addresses = {name: getattr(state, name) for name in ("inference", "management", "metrics", "grpc")}
    return {
        "server": directory.name,
        "framework": state.framework,
        "running": True,
        "models": models,
        "addresses": {name: address for name, address in addresses.items() if address},
        "java": state.java or None,
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


def _litserve_status(state: ServerState, metrics: str, *, ready: bool) -> dict[str, Any]:
    """Return what `_model_status` does; LitServe has one model, without a queue or batches."""
    pids = [process.pid for process in processes_of(state.token)]
    seconds: defaultdict[str, float] = defaultdict(float)
    for kind, value in _LITSERVE_METRIC.findall(metrics):
        seconds[kind] += float(value)
    return {
        "name": state.models[0].name,
        "version": state.models[0].version,
        "workers": state.workers,
        "ready": ready,
        "ready_workers": state.workers if ready else 0,
        "queue": None,
        "latency_ms": 2000 * seconds["sum"] / seconds["count"] if seconds["count"] else None,  # of two histograms
        "batch_size": 1,
        "max_batch_delay_ms": 0,
        "memory_bytes": resident_bytes(pids),
        "pids": pids,
    }


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
