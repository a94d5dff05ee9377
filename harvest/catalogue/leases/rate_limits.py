"""Rate limits of services, which all workers of a catalogue share."""

import time
from collections.abc import Callable
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Engine, select

from lightmeter.harvest.catalogue.database.rows import insert_missing, upsert
from lightmeter.harvest.catalogue.database.session import write
from lightmeter.harvest.catalogue.leases.workers import database_time
from lightmeter.harvest.catalogue.models import RateLimitRecord
from lightmeter.harvest.sources.rate_limit import RateLimit

_HOUR_S = 3600.0
_BURST_SHARE = 0.1


class CatalogueRateLimiter:
    """Limits requests by the generic cell rate algorithm (GCRA, ITU-T I.371), a leaky bucket that stores one number.

    A tenth of an hour's requests may be sent at once, the others at an even pace; no hour exceeds the limit. The state
    is a row of the catalogue, so that restarts, parallel runs and workers on other machines share the limit. If the
    clock of the database was wrong, the wait is an hour at most.

    Args:
        engine: Catalogue engine.
        rate_limit: The limit.
        clock: Returns the time in a transaction.
    """

    def __init__(
        self, engine: Engine, rate_limit: RateLimit, clock: Callable[[Connection], datetime] = database_time
    ) -> None:
        self._engine, self._service, self._clock = engine, rate_limit.name, clock
        burst = rate_limit.per_hour * _BURST_SHARE
        self._interval_s = _HOUR_S / (rate_limit.per_hour - burst)
        self._tolerance_s = (burst - 1) * self._interval_s

    def __deepcopy__(self, _: dict[int, Any]) -> "CatalogueRateLimiter":
        return self  # Scrapy copies its settings, and engines cannot be copied

    def take(self) -> float:
        """Reserve one request and return the seconds to wait before it may be sent.

        Raises:
            CatalogueError: The catalogue cannot be written to.
        """
        return write(self._engine, self._take)

    def wait(self) -> None:
        """Reserve one request and wait until it may be sent.

        Raises:
            CatalogueError: The catalogue cannot be written to.
        """
        time.sleep(self.take())

    def _take(self, connection: Connection) -> float:
        table = RateLimitRecord
        insert_missing(connection, table, [{"service": self._service, "due": 0.0}], table.service, table.service)
        query = select(table.due).where(table.service == self._service).with_for_update()
        stored = connection.execute(query).scalar_one()
        now = self._clock(connection).timestamp()
        due = min(max(stored, now), now + _HOUR_S)
        connection.execute(upsert(connection, table, {"service": self._service, "due": due + self._interval_s}))
        return max(0.0, due - now - self._tolerance_s)
