"""Metrics of a worker for Prometheus."""

from collections.abc import Iterator
from contextlib import suppress
from typing import TYPE_CHECKING

from sqlalchemy import Engine, func, select

from lightmeter.errors import LightmeterError, require_extra
from lightmeter.harvest.catalogue.database.database_errors import CatalogueError
from lightmeter.harvest.catalogue.models import SightingRecord, SightingState
from lightmeter.harvest.crawl.catalogue_writer import CatalogueWriter

if TYPE_CHECKING:
    from prometheus_client.core import Metric


def serve_metrics(engine: Engine, writer: CatalogueWriter, host: str, port: int) -> None:
    """Serve the metrics of a worker over HTTP, in a thread that ends with the process.

    Args:
        engine: Catalogue engine.
        writer: The writer of the worker.
        host: Address to listen on.
        port: Port.

    Raises:
        UsageError: The package ``prometheus-client`` is not installed.
        LightmeterError: The port cannot be bound.
    """
    with require_extra("metrics", "prometheus_client"):
        from prometheus_client import CollectorRegistry, start_http_server
    registry = CollectorRegistry()
    registry.register(_Worker(engine, writer))
    try:
        start_http_server(port, host, registry)
    except (OSError, OverflowError) as error:
        raise LightmeterError(f"Cannot serve metrics on {host}:{port}: {error}.") from error


class _Worker:
    """Collects the metrics when they are requested."""

    def __init__(self, engine: Engine, writer: CatalogueWriter) -> None:
        self._engine, self._writer = engine, writer

    def collect(self) -> "Iterator[Metric]":
        """Yield the metrics."""
        from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

        photographs = CounterMetricFamily(
            "lightmeter_harvest_photographs", "Photographs that have got a state.", labels=("state", "reason")
        )
        for (state, reason), number in self._writer.reasons.items():
            photographs.add_metric([state, reason], number)
        yield photographs
        gauges: list[tuple[str, str, float]] = [
            ("leased", "Photographs that this worker has leased.", self._writer.leased),
            ("lease_age_seconds", "Seconds since the leases were renewed.", self._writer.lease_age_s),
        ]
        for name, description, value in gauges:
            yield GaugeMetricFamily(f"lightmeter_harvest_{name}", description, value)
        with suppress(CatalogueError), self._engine.connect() as connection:
            pending = connection.scalar(select(func.count()).where(SightingRecord.state == SightingState.FOUND)) or 0
            yield GaugeMetricFamily("lightmeter_harvest_pending", "Pending photographs of all runs.", pending)
