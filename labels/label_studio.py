"""Label Studio's JSON: a task for each photograph, its statements as annotations."""

import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from sqlalchemy import Connection

from harvest.store import path_of
from labels.history import COLUMNS, history_rows
from labels.targets.base import classes_in, together
from lightmeter.errors import UsageError
from lightmeter.files import atomic_path


def export_label_studio(
    connection: Connection, file: Path, targets: Iterable[str], store: Path, where: str = ""
) -> int:
    """Write a task for each labelled photograph with its statements as annotations, and return the statements' number.

    The picture is the address it was fetched from; without one its file in the store, as a local file of Label Studio.

    Args:
        connection: to the catalogue.
        file: to write.
        targets: whose labels.
        store: the photo store.
        where: a query that chooses photographs; empty for all.
    """
    tasks: dict[str, dict[str, Any]] = {}
    count = 0
    for row in history_rows(connection, list(targets), where):
        task = tasks.setdefault(row["sha256"], {"data": _data(row, store), "annotations": []})
        task["annotations"].append(_annotation(row))
        count += 1
    with atomic_path(file) as temporary:
        temporary.write_text(json.dumps(list(tasks.values()), ensure_ascii=False, indent=1), encoding="utf-8")
    return count


def read_label_studio(file: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yield each choice with the number of its task.

    Raises:
        UsageError: if the file is no such export.
    """
    try:
        tasks = json.loads(file.read_text(encoding="utf-8"))
        for number, task in enumerate(tasks, start=1):
            for annotation in task.get("annotations", ()):
                for result in annotation["result"]:
                    if result.get("type") == "choices":
                        yield number, _row_of(task["data"], annotation, result)
    except (UnicodeDecodeError, json.JSONDecodeError, KeyError, TypeError, AttributeError) as error:
        raise UsageError(f"{file} is no Label Studio export in JSON ({type(error).__name__}: {error}).") from error


def _row_of(data: Mapping[str, Any], annotation: Mapping[str, Any], result: Mapping[str, Any]) -> dict[str, Any]:
    choices = result["value"]["choices"]
    known = {"created_at": annotation.get("created_at"), "author": _annotator(annotation)}
    return {
        "sha256": data["sha256"],
        "target": result["from_name"],
        "value": together(choices) if choices else None,
        **{key: value for key, value in known.items() if value is not None},
        **{key: value for key, value in result.get("meta", {}).items() if key in COLUMNS},
    }


def _annotator(annotation: Mapping[str, Any]) -> str | None:
    who = annotation.get("completed_by")
    return str(who.get("email") or who.get("id")) if isinstance(who, dict) else str(who) if who else None


def _data(row: Mapping[str, Any], store: Path) -> dict[str, Any]:
    url = row["media_url"] or ""
    local = f"/data/local-files/?d={path_of(store, row['sha256']).as_posix().lstrip('/')}"
    return {
        "image": url if url.startswith(("http://", "https://")) else local,
        "sha256": row["sha256"],
        "file": row["file"],
    }


def _annotation(row: Mapping[str, Any]) -> dict[str, Any]:
    kept = {key: row[key] for key in ("number", "origin", "author", "version", "confidence")}
    result = {
        "from_name": row["target"],
        "to_name": "image",
        "type": "choices",
        "value": {"choices": classes_in(row["value"]) if row["value"] is not None else ()},
        "meta": kept,
    }
    return {"created_at": row["created_at"].isoformat(), "result": [result]}
