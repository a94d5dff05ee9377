"""What commands ask the catalogue."""

from collections import Counter
from collections.abc import Iterable
from typing import Any

from sqlalchemy import Engine, Select, func, select

from lightmeter.harvest.catalogue.models import Exif, HarvestRun, Image, Inspection, Label, Sighting, SightingState

_ENDED = tuple(state for state in SightingState if state is not SightingState.FOUND)


def run_counts(engine: Engine, run: int | None = None) -> dict[str, Any]:
    """Count sightings by state and by reason: for each run, and in total.

    ``found`` is every sighting that a run added; it is the sum of the states that follow it and of ``pending``.
    ``known`` counts sightings met again that an earlier run had added; they are in no other number.

    Args:
        engine: of the catalogue.
        run: one run; None for all.
    """
    chosen = HarvestRun.id == run if run is not None else HarvestRun.id > 0
    of_runs = (
        select(HarvestRun.id, HarvestRun.source, HarvestRun.state, HarvestRun.reason, HarvestRun.known)
        .where(chosen)
        .order_by(HarvestRun.id)
    )
    with engine.connect() as connection:
        rows = connection.execute(_counted(Sighting.state).where(chosen)).all()
        reasons = connection.execute(
            _counted(Sighting.state, Sighting.reason).where(chosen, Sighting.reason.is_not(None))
        ).all()
        runs = connection.execute(of_runs).all()
    documents = [
        {
            "run": number,
            "source": source,
            "state": state,
            "reason": why,
            **_states(row for row in rows if row[0] == number),
            "known": known,
            "reasons": _grouped(row for row in reasons if row[0] == number),
        }
        for number, source, state, why, known in runs
    ]
    total = {**_states(rows), "known": sum(row.known for row in runs), "reasons": _grouped(reasons)}
    return {"runs": documents, "total": total}


def _counted(*columns: Any) -> Select[Any]:
    """Return the query that counts the sightings of each run by columns."""
    return select(Sighting.run_id, *columns, func.count()).join(HarvestRun).group_by(Sighting.run_id, *columns)


def catalogue_info(engine: Engine) -> dict[str, int]:
    """Count the rows of each table."""
    tables = {
        "runs": HarvestRun,
        "sightings": Sighting,
        "images": Image,
        "exif": Exif,
        "inspections": Inspection,
        "labels": Label,
    }
    with engine.connect() as connection:
        return {
            name: connection.execute(select(func.count()).select_from(table)).scalar_one()
            for name, table in tables.items()
        }


def _states(rows: Iterable[Any]) -> dict[str, int]:
    """Add up rows of (run, state, number)."""
    counts = Counter[str]()
    for _, state, number in rows:
        counts[state] += number
    ended = {str(state): counts[state] for state in _ENDED}
    return {"found": counts.total(), **ended, "pending": counts[SightingState.FOUND]}


def _grouped(rows: Iterable[Any]) -> list[dict[str, Any]]:
    """Add up rows of (run, state, reason, number) by the term before the reason's colon, most frequent first."""
    counts: Counter[tuple[str, str]] = Counter()
    for _, state, reason, number in rows:
        counts[str(state), reason.partition(":")[0]] += number
    return [{"state": state, "reason": reason, "count": number} for (state, reason), number in counts.most_common()]
