"""Label Studio's JSON: a task for each photograph, its statements as annotations."""

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from sqlalchemy import Connection

from lightmeter.errors import UsageError
from lightmeter.files import atomic_path
from lightmeter.harvest.store import path_of
from lightmeter.labels.annotations.history import ANNOTATION_COLUMNS, PhotoAnnotations, annotations_by_photo
from lightmeter.labels.targets.base import join_classes, split_classes


def export_label_studio(
    connection: Connection, file: Path, targets: Sequence[str], store: Path, where: str = ""
) -> int:
    """Write a task for each photograph with its statements as annotations, and return the statements' number.

    The picture is the address it was fetched from; without one its file in the store, as a local file of Label Studio.

    Args:
        connection: to the catalogue.
        file: to write.
        targets: whose labels.
        store: the photo store.
        where: a query that chooses photographs; empty for all.
    """
    count, comma = 0, ""
    with atomic_path(file) as temporary, temporary.open("w", encoding="utf-8") as out:
        out.write("[")
        for history in annotations_by_photo(connection, targets, where):
            out.write(f"{comma}\n{json.dumps(_task(history, store), ensure_ascii=False)}")
            count, comma = count + len(history.statements), ","
        out.write("\n]\n")
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


def _task(history: PhotoAnnotations, store: Path) -> dict[str, Any]:
    url = history.media_url or ""
    local = f"/data/local-files/?d={path_of(store, history.sha256).as_posix().lstrip('/')}"
    image = url if url.startswith(("http://", "https://")) else local
    return {
        "data": {"image": image, "sha256": history.sha256, "file": history.file},
        "annotations": [_annotation(said) for said in history.statements],
    }


def _annotation(said: Mapping[str, Any]) -> dict[str, Any]:
    made = said["created_at"].isoformat()
    result = {
        "from_name": said["target"],
        "to_name": "image",
        "type": "choices",
        "value": {"choices": split_classes(said["value"]) if said["value"] is not None else ()},
        "meta": {**{name: said[name] for name in ANNOTATION_COLUMNS if name != "target"}, "created_at": made},
    }
    return {"created_at": made, "result": [result]}


def _row_of(data: Mapping[str, Any], annotation: Mapping[str, Any], result: Mapping[str, Any]) -> dict[str, Any]:
    """Return a choice as a row: what was exported as it was, or what somebody chose or changed in Label Studio."""
    choices = result["value"]["choices"]
    value = join_classes(choices) if choices else None
    row = {"sha256": data["sha256"], "target": result["from_name"], "value": value}
    exported = result.get("meta", {})
    if exported.get("origin") and exported.get("value") == value:
        return {**row, **{name: exported.get(name) for name in ANNOTATION_COLUMNS if name not in row}}
    known = {
        "created_at": annotation.get("updated_at") or annotation.get("created_at"),
        "author": _annotator(annotation),
    }
    return row | {name: found for name, found in known.items() if found is not None}


def _annotator(annotation: Mapping[str, Any]) -> str | None:
    who = annotation.get("completed_by")
    return str(who.get("email") or who.get("id")) if isinstance(who, dict) else str(who) if who else None
