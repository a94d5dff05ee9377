"""Label Studio's JSON formats: one task per photograph, with its annotations as choices.

Exports are in the format JSON. Imports may also be in JSON-MIN, where each task has the value of each control.
"""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Annotated, Any, TypeGuard
from urllib.parse import quote, unquote, urlsplit
from xml.etree.ElementTree import Element, SubElement, indent, tostring

from pydantic import BaseModel, BeforeValidator, Field, ValidationError

from lightmeter.errors import UsageError
from lightmeter.files import output_path
from lightmeter.labels.annotations.model import ANNOTATION_COLUMNS, PhotoAnnotations
from lightmeter.labels.annotations.rows import ParsedFile
from lightmeter.labels.targets.base import SEPARATOR, Target, split_classes
from lightmeter.labels.targets.manual import ManualRating
from lightmeter.store.base import PhotoStore
from lightmeter.text.documents import read_json

_MIN_FIELDS = frozenset(
    {"id", "image", "sha256", "file", "annotator", "annotation_id", "created_at", "updated_at", "lead_time"}
)
"""Fields of a task in JSON-MIN that are not controls."""

_CONTROLS = ("choices", "textarea", "rating")
"""Types of the controls that can be targets."""

Row = dict[str, Any]


def export_label_studio(photos: Iterable[PhotoAnnotations], file: Path, store: PhotoStore) -> int:
    """Write a Label Studio task for each photograph, with its annotations.

    The image of a task is the URL from which it was downloaded, otherwise its file in the store through Label Studio's
    local file server, or its URL in object storage.

    Args:
        photos: Photographs; see `annotations_by_photo`.
        file: File to write.
        store: The photo store.

    Returns:
        The number of annotations.
    """
    count, separator = 0, ""
    with output_path(file) as temporary, temporary.open("w", encoding="utf-8") as out:
        out.write("[")
        for photo in photos:
            out.write(f"{separator}\n{json.dumps(_task(photo, store), ensure_ascii=False)}")
            count, separator = count + len(photo.annotations), ","
        out.write("\n]\n")
    return count


def label_config(targets: Iterable[Target[Any]]) -> str:
    """Return the labelling interface of a Label Studio project, with one control per target."""
    view = Element("View")
    SubElement(view, "Image", name="image", value="$image")
    for target in targets:
        SubElement(view, "Header", value=target.definition.summary)
        control = {"name": target.name, "toName": "image"}
        if isinstance(target, ManualRating):
            SubElement(view, "Rating", control, maxRating=str(len(target.classes)))
        elif target.classes:
            choice = "multiple" if target.multilabel else "single"
            choices = SubElement(view, "Choices", control, choice=choice, showInline="true")
            for name in target.classes:
                SubElement(choices, "Choice", value=name)
        else:
            SubElement(view, "TextArea", control, rows="1", maxSubmissions="1")
    indent(view)
    return f"{tostring(view, encoding='unicode')}\n"


def _task(photo: PhotoAnnotations, store: PhotoStore) -> dict[str, Any]:
    url = photo.media_url or ""
    image = url if url.startswith(("http://", "https://")) else _stored_image(store.location(photo.sha256))
    return {
        "data": {"image": image, "sha256": photo.sha256, "file": photo.file},
        "annotations": [_exported(annotation) for annotation in photo.annotations],
    }


def _stored_image(location: str) -> str:
    return location if "://" in location else f"/data/local-files/?d={quote(location.lstrip('/'))}"


def _exported(row: Mapping[str, Any]) -> dict[str, Any]:
    created_at = row["created_at"].isoformat()
    result = {
        "from_name": row["target"],
        "to_name": "image",
        "type": "choices",
        "value": {"choices": split_classes(row["value"]) if row["value"] is not None else ()},
        "meta": {**{name: row[name] for name in ANNOTATION_COLUMNS if name != "target"}, "created_at": created_at},
    }
    return {"created_at": created_at, "result": [result]}


class _Value(BaseModel):
    """Value of a control: classes, lines of text, or a number of stars."""

    choices: tuple[str, ...] | None = None
    text: tuple[str, ...] | str | None = None
    rating: int | None = None

    def classes(self) -> tuple[str, ...]:
        """Return the value as class names."""
        if self.choices is not None:
            return self.choices
        if self.rating is not None:
            return (str(self.rating),)
        return (self.text,) if isinstance(self.text, str) else (" ".join(self.text or ()),)


class _Result(BaseModel):
    type: str = ""
    from_name: str = ""
    value: Any = None
    meta: dict[str, Any] | None = None


def _author(user: object) -> object:
    return user.get("email") or user.get("id") if isinstance(user, dict) else user


class _Annotation(BaseModel):
    was_cancelled: bool = False
    completed_by: Annotated[str | int | None, BeforeValidator(_author)] = None
    created_at: str | None = None
    updated_at: str | None = None
    result: tuple[_Result, ...] = ()


class _UnnamedPhotograph(Exception):
    """A task does not say which photograph it is about."""


class _Data(BaseModel):
    """Photograph of a task: ours have its hash, others a file name or the address of the image."""

    sha256: str | None = None
    file: str | None = None
    image: str | None = None

    def name(self) -> tuple[str, bool]:
        """Return the name of the photograph, and whether it is a hash."""
        name = self.sha256 or self.file or PurePosixPath(unquote(urlsplit(self.image or "").path)).name
        if not name:
            raise _UnnamedPhotograph("it names no photograph (data.sha256, data.file or data.image)")
        return name, bool(self.sha256)


class _Task(BaseModel):
    data: _Data
    annotations: tuple[_Annotation, ...] = ()


class _MinTask(BaseModel):
    sha256: str
    annotator: Annotated[str | int | None, BeforeValidator(_author)] = None
    created_at: str | None = None
    updated_at: str | None = None
    controls: dict[str, Any] = Field(default_factory=dict)


def read_label_studio(file: Path, targets: Mapping[str, Target[Any]], parsed: ParsedFile) -> Iterator[tuple[int, Row]]:
    """Yield the choice of each control that is a target, with the number of its task.

    Args:
        file: An export of Label Studio.
        targets: Targets by name. Other controls are counted and ignored.
        parsed: What is refused, skipped or ignored is counted here.

    Raises:
        UsageError: The file is not a Label Studio export, or has annotations but none of a target.
    """
    tasks = read_json(file)
    if not isinstance(tasks, list):
        raise UsageError(f"{file} is not a Label Studio export in JSON: it must be a list of tasks.")
    count = 0
    for number, task in sorted(enumerate(tasks, start=1), key=lambda numbered: _min_time(numbered[1])):
        try:
            for row in _rows(task, parsed):
                if row["target"] in targets:
                    count += 1
                    yield number, row
                else:
                    parsed.ignored[row["target"]] += 1
        except _UnnamedPhotograph as error:
            parsed.refused.append((number, f"data: {error}."))
        except ValidationError as error:
            problem = error.errors(include_url=False)[0]
            parsed.refused.append((number, f"{'.'.join(map(str, problem['loc']))}: {problem['msg']}."))
    if parsed.ignored and not count and not parsed.refused:
        controls = ", ".join(f"{name} ({times})" for name, times in parsed.ignored.most_common())
        raise UsageError(f"{file} has no labels of a target; its controls are {controls}.")


def _is_min(task: object) -> TypeGuard[dict[str, Any]]:
    return isinstance(task, dict) and "data" not in task and "sha256" in task


def _min_time(task: object) -> str:
    """Return the time by which tasks in JSON-MIN are sorted: one per annotation, the newest first."""
    return str(task.get("updated_at") or task.get("created_at") or "") if _is_min(task) else ""


def _rows(task: object, parsed: ParsedFile) -> Iterator[Row]:
    if _is_min(task):
        yield from _min_rows(task)
        return
    valid = _Task.model_validate(task)
    name, is_hash = valid.data.name()
    if not is_hash:
        parsed.names.add(name)
    annotations: Sequence[_Annotation] = valid.annotations
    if not any(result.meta for annotation in annotations for result in annotation.result):  # not of our own export
        annotations = sorted(annotations, key=lambda annotation: annotation.updated_at or annotation.created_at or "")
    for annotation in annotations:
        if annotation.was_cancelled:
            parsed.skipped += 1
            continue
        for result in annotation.result:
            yield _row(name, annotation, result)


def _min_rows(task: Mapping[str, Any]) -> Iterator[Row]:
    controls = {name: value for name, value in task.items() if name not in _MIN_FIELDS and value is not None}
    valid = _MinTask.model_validate({**task, "controls": controls})
    time = valid.updated_at or valid.created_at
    for name, value in controls.items():
        items = value if isinstance(value, list | tuple) else (value,)
        text = SEPARATOR.join(part for item in items for part in _min_classes(item))
        yield {"sha256": valid.sha256, "target": name, "value": text, "created_at": time, "author": valid.annotator}


def _min_classes(item: object) -> tuple[str, ...]:
    """Return the classes of a value in JSON-MIN: a text, or the value of a control such as ``{"rating": 4}``."""
    return _Value.model_validate(item).classes() if isinstance(item, dict) else (str(item),)


def _row(sha256: str, annotation: _Annotation, result: _Result) -> Row:
    """Return a choice as a row: as exported if it is unchanged, otherwise by its annotator in Label Studio."""
    if result.type not in _CONTROLS:
        return {"target": f"{result.from_name} ({result.type})" if result.from_name else result.type}
    choices = _Value.model_validate(result.value).classes()
    row = {"sha256": sha256, "target": result.from_name, "value": SEPARATOR.join(choices) or None}
    exported = result.meta or {}
    value = exported.get("value")
    if exported.get("origin") and {*choices} == {*(split_classes(str(value)) if value is not None else ())}:
        return {**exported, **row, "removed": "true" if value is None else None}
    time = annotation.updated_at or annotation.created_at
    return {**row, "created_at": time, "author": annotation.completed_by}
