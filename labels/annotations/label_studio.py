"""Label Studio's JSON format: one task per photograph, with its annotations as choices."""

import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from lightmeter.errors import UsageError
from lightmeter.files import atomic_path
from lightmeter.harvest.store import path_of
from lightmeter.labels.annotations.model import ANNOTATION_COLUMNS, PhotoAnnotations
from lightmeter.labels.targets.base import SEPARATOR, split_classes


def export_label_studio(photos: Iterable[PhotoAnnotations], file: Path, store: Path) -> int:
    """Write a Label Studio task for each photograph, with its annotations.

    The image of a task is the URL from which it was downloaded, otherwise its file in the store through Label Studio's
    local file server.

    Args:
        photos: Photographs; see `annotations_by_photo`.
        file: File to write.
        store: Directory of the photo store.

    Returns:
        The number of annotations.
    """
    count, separator = 0, ""
    with atomic_path(file) as temporary, temporary.open("w", encoding="utf-8") as out:
        out.write("[")
        for photo in photos:
            out.write(f"{separator}\n{json.dumps(_task(photo, store), ensure_ascii=False)}")
            count, separator = count + len(photo.annotations), ","
        out.write("\n]\n")
    return count


def read_label_studio(file: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yield each choice as a row, with the number of its task.

    Raises:
        UsageError: The file is not a Label Studio export.
    """
    try:
        tasks = json.loads(file.read_text(encoding="utf-8"))
        for number, task in enumerate(tasks, start=1):
            for annotation in task.get("annotations", ()):
                for result in annotation["result"]:
                    if result.get("type") == "choices":
                        yield number, _row(task["data"], annotation, result)
    except (UnicodeDecodeError, json.JSONDecodeError, KeyError, TypeError, AttributeError) as error:
        raise UsageError(f"{file} is not a Label Studio export in JSON ({type(error).__name__}: {error}).") from error


def _task(photo: PhotoAnnotations, store: Path) -> dict[str, Any]:
    url = photo.media_url or ""
    local = f"/data/local-files/?d={path_of(store, photo.sha256).as_posix().lstrip('/')}"
    image = url if url.startswith(("http://", "https://")) else local
    return {
        "data": {"image": image, "sha256": photo.sha256, "file": photo.file},
        "annotations": [_annotation(annotation) for annotation in photo.annotations],
    }


def _annotation(row: Mapping[str, Any]) -> dict[str, Any]:
    created_at = row["created_at"].isoformat()
    result = {
        "from_name": row["target"],
        "to_name": "image",
        "type": "choices",
        "value": {"choices": split_classes(row["value"]) if row["value"] is not None else ()},
        "meta": {**{name: row[name] for name in ANNOTATION_COLUMNS if name != "target"}, "created_at": created_at},
    }
    return {"created_at": created_at, "result": [result]}


def _row(data: Mapping[str, Any], annotation: Mapping[str, Any], result: Mapping[str, Any]) -> dict[str, Any]:
    """Return a choice as a row: as exported if it is unchanged, otherwise by its annotator in Label Studio."""
    choices = result["value"]["choices"]
    row = {
        "sha256": data["sha256"],
        "target": result["from_name"],
        "value": SEPARATOR.join(choices) if choices else None,
    }
    exported = result.get("meta", {})
    if exported.get("origin") and exported.get("value") == row["value"]:
        return {**exported, **row}
    time = annotation.get("updated_at") or annotation.get("created_at")
    return {**row, "created_at": time, "author": _annotator(annotation)}


def _annotator(annotation: Mapping[str, Any]) -> str | None:
    user = annotation.get("completed_by")
    return str(user.get("email") or user.get("id")) if isinstance(user, dict) else str(user) if user else None
