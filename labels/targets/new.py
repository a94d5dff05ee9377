"""Create the definition file of a target that people label by hand."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import tomli_w

from lightmeter import plugins
from lightmeter.errors import UsageError
from lightmeter.files import write_atomic
from lightmeter.labels.targets.base import NAME_PATTERN
from lightmeter.labels.targets.registry import make_target, read_targets
from lightmeter.project import TARGETS, Project


def create_target(
    project: Project,
    name: str,
    *,
    classes: Sequence[str] = (),
    multiple: bool = False,
    text: bool = False,
    rating: int | None = None,
    summary: str = "",
) -> Path:
    """Write the definition file of a manual target to the project, and return it.

    Args:
        project: The project.
        name: Name of the target.
        classes: Class names, for a target with classes.
        multiple: Whether a photograph can have several classes.
        text: Whether the target is free text.
        rating: Best rating, for a rating.
        summary: One line for ``labels targets`` (default: made from the classes).

    Raises:
        UsageError: Not exactly one of classes, text and rating is given, the definition is not valid, or the target
            exists.
    """
    if not re.fullmatch(NAME_PATTERN, name):
        raise UsageError(f"Invalid target name '{name}': use lower-case letters, digits and '-', first a letter.")
    if len(classes) == 1:
        raise UsageError(f"A target needs two classes or more, not only '{classes[0]}'.")
    if bool(classes) + text + (rating is not None) != 1:
        raise UsageError("Give one of --classes indoor,outdoor, --text and --rating 5.")
    if multiple and not classes:
        raise UsageError("--multiple needs --classes.")
    values: dict[str, Any] = {"name": name, "version": "1"}
    if classes:
        values |= {"by": "manual-multiple" if multiple else "manual", "summary": summary or " or ".join(classes)}
        values["classes"] = [{"name": item} for item in classes]
    elif text:
        values |= {"by": "manual-text", "summary": summary or "free text"}
    else:
        values |= {"by": "manual-rating", "summary": summary or f"rating from 1 to {rating}", "maximum": rating}
    file = project.root / TARGETS / f"{name}.toml"
    make_target(file, values, plugins.installed("targets"))
    targets, invalid = read_targets(project)
    existing = targets.get(name) or invalid.get(name)
    if existing is not None or file.exists():
        defined = existing.file if existing is not None else file
        raise UsageError(f"There is a target '{name}' already ({defined}); choose another name.")
    write_atomic(file, tomli_w.dumps(values))
    return file
