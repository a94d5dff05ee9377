"""What ``lightmeter serve status`` tells."""

import re
from typing import Any

from lightmeter.serve.client import Client, ready_workers
from lightmeter.serve.torchserve import processes
from lightmeter.serve.torchserve.state import ServerDirectory

_COUNTED = re.compile(
    r'^ts_inference_(latency_microseconds|requests_total)\{model_name="([^"]*)".*\} (\S+)$', re.MULTILINE
)


def server_status(place: ServerDirectory) -> dict[str, Any]:
    """Return a server's state: its models with their workers, its addresses, its Java."""
    state = place.read()
    if state is None or not processes.is_alive(state):
        return {"server": place.name, "running": False, "models": [], "addresses": {}, "java": None}
    with Client(place, state) as client:
        latencies = mean_latencies(client.metrics())
        models = [_model(described, latencies) for described in client.models()]
    return {
        "server": place.name,
        "running": True,
        "models": models,
        "addresses": {
            "inference": state.inference,
            "management": state.management,
            "metrics": state.metrics,
            "grpc": state.grpc,
        },
        "java": state.java,
        "java_memory_bytes": processes.resident_bytes(state.pid),
        "pid": state.pid,
        "logs": str(place.logs),
        "tokens": str(place.keys),
    }


def mean_latencies(metrics: str) -> dict[str, float]:
    """Return how long each model's answers took on average since the start, in milliseconds, from its counters."""
    sums: dict[tuple[str, str], float] = {}
    for counter, name, value in _COUNTED.findall(metrics):
        sums[counter, name] = sums.get((counter, name), 0.0) + float(value)
    return {
        name: microseconds / 1000 / sums["requests_total", name]
        for (counter, name), microseconds in sums.items()
        if counter == "latency_microseconds" and sums.get(("requests_total", name))
    }


def _model(described: dict[str, Any], latencies: dict[str, float]) -> dict[str, Any]:
    workers = described["workers"]
    memory = [processes.resident_bytes(worker["pid"]) for worker in workers]
    ready = ready_workers(described)
    return {
        "name": described["modelName"],
        "version": described["modelVersion"],
        "workers": len(workers),
        "ready": bool(workers) and ready == len(workers),
        "ready_workers": ready,
        "queue": described.get("jobQueueStatus", {}).get("pendingRequests"),
        "latency_ms": latencies.get(described["modelName"]),
        "batch_size": described["batchSize"],
        "max_batch_delay_ms": described["maxBatchDelay"],
        "memory_bytes": sum(each for each in memory if each) or None,
        "pids": [worker["pid"] for worker in workers],
    }
