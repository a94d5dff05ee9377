"""List harvest runs, and remove those that have left no photographs."""

from typing import Any

from sqlalchemy import Connection, Engine, delete, func, select, update

from lightmeter.errors import UsageError
from lightmeter.harvest.catalogue.database.session import write
from lightmeter.harvest.catalogue.leases.runs import active_runs
from lightmeter.harvest.catalogue.models import Exif, HarvestRun, SightingRecord, UnreadableRecord
from lightmeter.plugins import unknown_name_message


def list_runs(engine: Engine) -> list[dict[str, Any]]:
    """Return the harvest runs, oldest first, with the number of their sightings and photographs."""
    counts = select(SightingRecord.run_id, func.count(), func.count(SightingRecord.image_id))
    columns = (HarvestRun.id, HarvestRun.source, HarvestRun.query, HarvestRun.state, HarvestRun.started_at)
    with engine.connect() as connection:
        numbers = {run: rest for run, *rest in connection.execute(counts.group_by(SightingRecord.run_id))}
        rows = connection.execute(select(*columns, HarvestRun.ended_at).order_by(HarvestRun.id)).mappings().all()
        active = active_runs(connection)
    return [
        {
            **row,
            "state": str(row["state"]),
            "active": row["id"] in active,
            "found": numbers.get(row["id"], (0, 0))[0],
            "photographs": numbers.get(row["id"], (0, 0))[1],
        }
        for row in rows
    ]


def check_removable(engine: Engine, run: int) -> int:
    """Check that a run can be removed, and return the number of its sightings.

    Raises:
        UsageError: There is no such run, it is at work, or its photographs are in the catalogue.
    """
    runs = {row["id"]: row for row in list_runs(engine)}
    if run not in runs:
        raise UsageError(unknown_name_message("run", str(run), [str(number) for number in runs]))
    if runs[run]["active"]:
        raise UsageError(f"Run {run} is at work; stop it first.")
    if runs[run]["photographs"]:
        raise UsageError(
            f"Run {run} has {runs[run]['photographs']} photographs in the catalogue; remove them first with "
            f"'lightmeter catalogue remove --where run:{run}'."
        )
    return int(runs[run]["found"])


def remove_run(engine: Engine, run: int) -> None:
    """Remove a run with its sightings that have no photograph; they are found again by later runs."""

    def work(connection: Connection) -> None:
        sightings = select(SightingRecord.id).where(SightingRecord.run_id == run, SightingRecord.image_id.is_(None))
        connection.execute(delete(Exif).where(Exif.sighting_id.in_(sightings)))
        connection.execute(delete(SightingRecord).where(SightingRecord.id.in_(sightings)))
        connection.execute(delete(UnreadableRecord).where(UnreadableRecord.run_id == run))
        connection.execute(
            update(SightingRecord).where(SightingRecord.updated_run_id == run).values(updated_run_id=None)
        )
        connection.execute(delete(HarvestRun).where(HarvestRun.id == run))

    write(engine, work)
