"""Saved queries: ``@NAME`` in a query stands for the query of that name in the project's settings."""

from collections.abc import Collection, Mapping
from contextlib import suppress

from lightmeter.errors import UsageError
from lightmeter.harvest.catalogue.query.fields import AUTHOR_PREFIX, CONFLICT_PREFIX, LABEL_PREFIX
from lightmeter.harvest.catalogue.query.parser import tokens
from lightmeter.plugins import definition_folders, unknown_name_message
from lightmeter.project import TARGETS, Project
from lightmeter.text.documents import InvalidDocument, read_toml, toml_files

_MAX_LENGTH = 100_000
_PREFIXES = (LABEL_PREFIX, CONFLICT_PREFIX, AUTHOR_PREFIX)


def resolve_query(text: str, project: Project) -> str:
    """Return a query of a person with the project's saved queries in place of their names.

    Args:
        text: Query; an empty one is returned unchanged.
        project: Project with the saved queries (``[queries]``) and the targets that ``label.TARGET`` can name.

    Raises:
        UsageError: The query is invalid, or names a saved query or a target that does not exist.

    Example:
        >>> resolve_query("iso:100-400 -tag:studio", find_project())
        'iso:100-400 -tag:studio'
    """
    if not text.strip():
        return text
    resolved = _expand(text, project.settings.queries, ())
    _check_labels(resolved, _target_names(project))
    return resolved


def _expand(text: str, saved: Mapping[str, str], parents: tuple[str, ...]) -> str:
    parts, end = [], 0
    for token in tokens(text):
        if token.type != "SAVED":
            continue
        name, start = token[1:], token.start_pos or 0
        if name not in saved:
            raise UsageError(unknown_name_message("saved query", name, list(saved)))
        if name in parents:
            raise UsageError(f"The saved query '{name}' contains itself ({' → '.join((*parents, name))}).")
        try:
            query = _expand(saved[name], saved, (*parents, name))
        except UsageError as error:
            raise UsageError(f"Saved query '{name}': {error}", error.details) if not parents else error from error
        parts += [text[end:start], f"({query})"]
        end = start + len(token)
        if sum(map(len, parts)) > _MAX_LENGTH:
            raise UsageError(f"The query with its saved queries is longer than {_MAX_LENGTH:,} characters.")
    return "".join([*parts, text[end:]])


def _check_labels(text: str, targets: Collection[str]) -> None:
    for token in tokens(text):
        name = token.partition(":")[0] if token.type == "PAIR" else str(token)
        prefix, _, target = name.partition(".")
        if token.type in ("NAME", "PAIR") and f"{prefix}." in _PREFIXES and target not in targets:
            raise UsageError(unknown_name_message("target", target, sorted(targets)))


def _target_names(project: Project) -> set[str]:
    """Return the names of all targets; definition files that cannot be read are left to the commands that use them."""
    folders = [project.root / TARGETS, *(folder for folder, _ in definition_folders("targets"))]
    names = set()
    for file in (file for folder in folders for file in toml_files(folder)):
        with suppress(InvalidDocument):
            names.add(str(read_toml(file).get("name")))
    return names
