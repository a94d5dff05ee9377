"""Counts of sightings by run, state and reason, and of rows by table."""

from collections import Counter
from collections.abc import Iterable
from typing import Any

from sqlalchemy import ColumnElement, Connection, Engine, Select, func, select, true

from lightmeter.harvest.catalogue.leases.runs import active_runs
from lightmeter.harvest.catalogue.leases.workers import worker_status
from lightmeter.harvest.catalogue.models import (
    Exif,
    HarvestRun,
    Image,
    Inspection,
    Label,
    SightingRecord,
    SightingState,
    UnreadableRecord,
)

_MAX_UNREADABLE = 100  # that are listed

_UPDATED = (
    select(SightingRecord.updated_run_id, func.count())
    .where(SightingRecord.updated_run_id.is_not(None))
    .group_by(SightingRecord.updated_run_id)
)
_FINAL_STATES = tuple(state for state in SightingState if state is not SightingState.FOUND)


def run_counts(engine: Engine, run: int | None = None) -> dict[str, Any]:
    """Count sightings by state and reason, for each run and in total.

    ``found`` counts all sightings of a run and equals the sum of the final states and ``pending``. ``existing`` counts
    discovered items that the catalogue had already, from an earlier run or listed before in the same run. ``updated``
    counts the known photographs whose metadata or file has changed. ``unreadable`` counts what could not be read at the
    source; the first hundred are listed in ``unreadable_records``. No other number includes these. ``active`` tells
    whether a process works on a run. ``workers`` lists the processes that download, and ``leases`` sums their leases.

    Args:
        engine: Catalogue engine.
        run: Id of one run; None for all.
    """
    selected = HarvestRun.id == run if run is not None else true()
    by_state = _counts(SightingRecord.state).where(selected)
    by_reason = _counts(SightingRecord.state, SightingRecord.reason).where(selected, SightingRecord.reason.is_not(None))
    columns = (HarvestRun.id, HarvestRun.source, HarvestRun.state, HarvestRun.reason, HarvestRun.existing)
    with engine.connect() as connection:
        states = connection.execute(by_state).all()
        reasons = connection.execute(by_reason).all()
        runs = connection.execute(select(*columns).where(selected).order_by(HarvestRun.id)).all()
        updated = dict(connection.execute(_UPDATED).all())
        unreadable = _unreadable(connection, selected)
        active = active_runs(connection)
        workers = worker_status(connection)
    documents = [
        {
            "run": row.id,
            "source": row.source,
            "state": row.state,
            "reason": row.reason,
            **_sum_states(count for count in states if count.run_id == row.id),
            "existing": row.existing,
            "updated": updated.get(row.id, 0),
            **unreadable.get(row.id, {"unreadable": 0, "unreadable_records": []}),
            "active": row.id in active,
            "reasons": _sum_reasons(count for count in reasons if count.run_id == row.id),
        }
        for row in runs
    ]
    total = _sum_states(states) | {
        "existing": sum(row.existing for row in runs),
        "updated": sum(updated.get(row.id, 0) for row in runs),
        "unreadable": sum(entry["unreadable"] for entry in unreadable.values()),
        "unreadable_records": [row for entry in unreadable.values() for row in entry["unreadable_records"]],
        "reasons": _sum_reasons(reasons),
    }
    return {"runs": documents, "total": total, **workers}


def catalogue_info(engine: Engine) -> dict[str, int]:
    """Count the rows of each table."""
    tables = (HarvestRun, SightingRecord, Image, Exif, Inspection, Label)
    with engine.connect() as connection:
        return {
            table.__tablename__: connection.scalar(select(func.count()).select_from(table)) or 0 for table in tables
        }


def _unreadable(connection: Connection, selected: ColumnElement[bool]) -> dict[int, dict[str, Any]]:
    """Return number and first records of what runs could not read, by run."""
    table = UnreadableRecord
    counts = select(table.run_id, func.count()).join(HarvestRun).where(selected).group_by(table.run_id)
    numbers = connection.execute(counts.order_by(table.run_id)).all()
    records = select(table.location, table.reason).order_by(table.id).limit(_MAX_UNREADABLE)
    return {
        run: {
            "unreadable": number,
            "unreadable_records": [row._asdict() for row in connection.execute(records.where(table.run_id == run))],
        }
        for run, number in numbers
    }


def _counts(*columns: Any) -> Select[Any]:
    """Return the query that counts the sightings of each run by columns."""
    query = select(SightingRecord.run_id, *columns, func.count().label("number"))
    return query.join(HarvestRun).group_by(SightingRecord.run_id, *columns)


def _sum_states(counts: Iterable[Any]) -> dict[str, int]:
    totals = Counter[str]()
    for count in counts:
        totals[count.state] += count.number
    final = {str(state): totals[state] for state in _FINAL_STATES}
    return {"found": totals.total(), **final, "pending": totals[SightingState.FOUND]}


def _sum_reasons(counts: Iterable[Any]) -> list[dict[str, Any]]:
    """Sum counts by state and the part of the reason before the colon, most frequent first."""
    totals: Counter[tuple[str, str]] = Counter()
    for count in counts:
        totals[str(count.state), count.reason.partition(":")[0]] += count.number
    return [{"state": state, "reason": reason, "count": number} for (state, reason), number in totals.most_common()]
