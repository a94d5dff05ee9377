"""The suspects of an audit, kept in the project until the next audit, so that they can be reviewed."""

import json
from pathlib import Path
from typing import Any

from lightmeter.errors import UsageError
from lightmeter.files import write_atomic
from lightmeter.project import Project


def write_suspects(project: Project, target: str, suspects: list[dict[str, Any]]) -> None:
    """Keep what an audit found.

    Args:
        project: that was audited.
        target: whose labels.
        suspects: each with at least its ``image_id``.
    """
    write_atomic(_file(project, target), json.dumps(suspects, indent=1, default=str))


def read_suspects(project: Project, target: str) -> list[int]:
    """Return the images that the last audit of a target found.

    Raises:
        UsageError: if there was none.
    """
    file = _file(project, target)
    if not file.is_file():
        raise UsageError(f"There was no audit of {target} yet; run 'lightmeter labels audit {target}'.")
    return [int(suspect["image_id"]) for suspect in json.loads(file.read_text(encoding="utf-8"))]


def _file(project: Project, target: str) -> Path:
    return project.state / "audit" / f"{target}.json"
