"""What commands ask the catalogue."""

from collections import Counter
from collections.abc import Iterable
from typing import Any

from sqlalchemy import Engine, func, select

from harvest.catalogue.tables import Exif, Image, Inspection, Label, Run, Sighting, SightingState

_ENDED = tuple(state for state in SightingState if state is not SightingState.FOUND)


def run_counts(engine: Engine, run: int | None = None) -> dict[str, Any]:
    """Count sightings by state: for each run, and in total.

    ``found`` is every sighting that a run added; it is the sum of the states that follow it and of ``pending``.
    ``known`` counts sightings met again that an earlier run had added; they are in no other number.

    Args:
        run: one run; None for all.
    """
    chosen = Run.id == run if run is not None else Run.id > 0
    counted = (
        select(Sighting.run_id, Sighting.state, func.count())
        .join(Run)
        .where(chosen)
        .group_by(Sighting.run_id, Sighting.state)
    )
    why = (
        select(Sighting.state, Sighting.reason, func.count())
        .join(Run)
        .where(chosen, Sighting.reason.is_not(None))
        .group_by(Sighting.state, Sighting.reason)
    )
    with engine.connect() as connection:
        rows = connection.execute(counted).all()
        runs = connection.execute(
            select(Run.id, Run.source, Run.state, Run.reason, Run.known).where(chosen).order_by(Run.id)
        ).all()
        reasons = connection.execute(why).all()
    by_run = {number: _states([row for row in rows if row[0] == number]) for number, *_ in runs}
    total = Counter[str]()
    for counts in by_run.values():
        total.update(counts)
    return {
        "runs": [
            {
                "run": number,
                "source": source,
                "state": state,
                "reason": reason,
                **by_run[number],
                "known": known,
            }
            for number, source, state, reason, known in runs
        ],
        "total": {**_states([]), **total, "known": sum(row.known for row in runs)},
        "reasons": _grouped(reasons),
    }


def catalogue_info(engine: Engine) -> dict[str, int]:
    """Count the rows of each table."""
    tables = {
        "runs": Run,
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
    counts = {state: number for _, state, number in rows}
    pending = counts.get(SightingState.FOUND, 0)
    ended = {str(state): counts.get(state, 0) for state in _ENDED}
    return {"found": pending + sum(ended.values()), **ended, "pending": pending}


def _grouped(reasons: Iterable[Any]) -> list[dict[str, Any]]:
    """Add up reasons by their term, the part before the colon, most frequent first."""
    counts: Counter[tuple[str, str]] = Counter()
    for state, reason, number in reasons:
        counts[str(state), reason.partition(":")[0]] += number
    return [{"state": state, "reason": reason, "count": number} for (state, reason), number in counts.most_common()]
