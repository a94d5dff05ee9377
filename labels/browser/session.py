"""The edits of one annotator: labels of one or many photographs, and boxes, with undo and redo."""

from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Connection, func, select

from lightmeter.errors import LightmeterError, UsageError
from lightmeter.harvest.catalogue.effective_labels import MANUAL
from lightmeter.harvest.catalogue.models import Label
from lightmeter.images.geometry import Box
from lightmeter.labels.annotations.model import Annotation, insert_annotation_of_many
from lightmeter.labels.browser.boxes import Row, add_box, remove_box, set_manual_boxes
from lightmeter.labels.browser.columns import Codes
from lightmeter.labels.browser.label_columns import LabelColumns
from lightmeter.labels.browser.library import Library
from lightmeter.labels.datasets.crops import Crop
from lightmeter.labels.targets.base import SEPARATOR, Target, split_classes
from lightmeter.plugins import unknown_name_message

Ids = NDArray[np.int64]

_MAX_RESULTS = 1000  # of edits that a page may send again


class StaleError(LightmeterError):
    """A label was changed elsewhere since the page showed it."""

    def __init__(self) -> None:
        super().__init__("The label was changed elsewhere; it is shown again. Nothing was changed.")


@dataclass(frozen=True)
class Edit:
    """An edit that can be undone.

    Attributes:
        target: Target of the labels; empty for boxes.
        images: Ids of the edited photographs.
        undo: Undoes the edit.
        redo: Does it again.
    """

    target: str
    images: Ids
    undo: Callable[[], object]
    redo: Callable[[], object]


@dataclass
class Session:
    """Review session of one annotator.

    Attributes:
        library: The photographs.
        targets: Targets by name.
        crops: As returned by `crops_by_kind`.
        history: Edits that can be undone, newest last.
        undone: Edits that can be redone, newest last.
        results: Edits by the identifier that the page gave them, so that one that is sent again is not made twice.
    """

    library: Library
    targets: Mapping[str, Target[Any]]
    crops: Mapping[str, Crop]
    history: list[Edit] = field(default_factory=list)
    undone: list[Edit] = field(default_factory=list)
    results: OrderedDict[str, Edit | None] = field(default_factory=OrderedDict)

    def once(self, identifier: str, work: Callable[[], Edit | None]) -> Edit | None:
        """Make an edit, unless one with this identifier was made before; return it."""
        with self.library.lock:
            if identifier not in self.results:
                self.results[identifier] = work()
                while len(self.results) > _MAX_RESULTS:
                    self.results.popitem(last=False)
            return self.results[identifier]

    def target(self, name: str) -> Target[Any]:
        """Return a target.

        Raises:
            UsageError: There is no such target.
        """
        if name not in self.targets:
            raise UsageError(unknown_name_message("target", name, list(self.targets)))
        return self.targets[name]

    def classes(self, name: str) -> list[str]:
        """Return the classes of a target; for open classes those in use, by descending frequency."""
        target = self.target(name)
        if target.classes:
            return list(target.classes)
        labels = self.library.labels(name)
        counts = np.bincount(labels.codes + 1, minlength=len(labels.values) + 1)[1:].tolist()
        values = {value: count for value, count in zip(labels.values, counts, strict=True) if count}
        spellings = target.spellings(values)
        totals: dict[str, int] = {}
        for value, count in values.items():
            for part in split_classes(spellings.get(value, value)):
                totals[part] = totals.get(part, 0) + count
        return sorted(totals, key=lambda part: (-totals[part], part))

    def label(self, target: str, images: Ids, value: str | None, version: int, *, toggle: bool = False) -> Edit:
        """Label photographs, all of them or none.

        Args:
            target: Name of the target.
            images: Ids of the photographs.
            value: Class name, or several joined by ``|``; None removes the author's labels.
            version: Id of the newest annotation of the target that the page showed.
            toggle: Add the class to the others of each photograph of a multilabel target, or remove it if all have it.

        Raises:
            UsageError: There is no such target, class or photograph.
            StaleError: A label of these photographs is newer than what the page showed.
        """
        defined = self.target(target)
        value = None if value is None else defined.parse_value(value)

        def new_codes(labels: LabelColumns, rows: Ids) -> Codes:
            if labels.changed[rows].max() > version:
                raise StaleError
            if toggle and value is not None and defined.multilabel:
                return _toggled(labels, rows, value, defined)
            return np.full(len(rows), -1 if value is None else labels.code(value), np.int32)

        before, after = self._store(defined, images, new_codes)
        edit = Edit(
            target,
            images,
            undo=lambda: self._store(defined, images, _if_unchanged(after, before)),
            redo=lambda: self._store(defined, images, _if_unchanged(before, after)),
        )
        return self._made(edit)

    def add_box(self, image_id: int, kind: str, box: Box, replaces: int | None = None) -> Edit:
        """Add a box in display coordinates, or replace another one.

        Raises:
            UsageError: The box is empty or exceeds the image, or there is no such kind, photograph or box.
        """
        return self._edit_boxes(image_id, kind, lambda c, crop: add_box(c, image_id, crop, box, replaces))

    def remove_box(self, image_id: int, kind: str, box_id: int) -> Edit:
        """Remove a box.

        Raises:
            UsageError: There is no such kind or box.
        """
        return self._edit_boxes(image_id, kind, lambda c, crop: remove_box(c, image_id, crop, box_id))

    def undo(self) -> Edit | None:
        """Undo the last edit; return it, or None if there is none.

        Raises:
            StaleError: A label has been changed elsewhere since.
        """
        return _move(self.history, self.undone, lambda edit: edit.undo())

    def redo(self) -> Edit | None:
        """Make the last edit that was undone again; return it, or None if there is none.

        Raises:
            StaleError: A label has been changed elsewhere since.
        """
        return _move(self.undone, self.history, lambda edit: edit.redo())

    def _made(self, edit: Edit) -> Edit:
        self.history.append(edit)
        self.undone.clear()
        return edit

    def _store(
        self, target: Target[Any], images: Ids, new_codes: Callable[[LabelColumns, Ids], Codes]
    ) -> tuple[Codes, Codes]:
        """Store labels of the author, and return the codes of the labels before and after."""
        library = self.library

        def work(connection: Connection) -> tuple[LabelColumns, Ids, Codes, int]:
            labels = library.snapshot.labels[target.name]
            labels.refresh(connection)
            rows = library.snapshot.photographs.rows_of(images)
            if not len(images) or len(rows) < len(images):
                raise UsageError("There is no such photograph.")
            codes = new_codes(labels, rows)
            for code in np.unique(codes).tolist():
                value = None if code < 0 else labels.values[code]
                annotation = Annotation(0, target.name, value, target.number_of(value), MANUAL, library.author, None)
                insert_annotation_of_many(connection, images[codes == code], annotation)
            return labels, rows, codes, connection.scalar(select(func.max(Label.id))) or 0

        with library.lock:
            library.labels(target.name)  # reads them if this is the first edit
            labels, rows, codes, version = library.write(work, foreign_keys=False)
            before = labels.own[rows].copy()
            labels.set_own(rows, codes, version)
        return before, codes

    def _edit_boxes(self, image_id: int, kind: str, change: Callable[[Connection, Crop], list[Row]]) -> Edit:
        if kind not in self.crops:
            raise UsageError(f"Unknown kind of box '{kind}'.")
        with self.library.lock:
            before = self.library.write(lambda connection: change(connection, self.crops[kind]))
            after: list[Sequence[Row]] = []

            def undo() -> None:
                after[:] = [self._set_boxes(image_id, kind, before)]

            return self._made(Edit("", np.asarray([image_id]), undo, lambda: self._set_boxes(image_id, kind, after[0])))

    def _set_boxes(self, image_id: int, kind: str, rows: Sequence[Row]) -> list[Row]:
        return self.library.write(lambda connection: set_manual_boxes(connection, image_id, kind, rows))


def _move(source: list[Edit], destination: list[Edit], work: Callable[[Edit], object]) -> Edit | None:
    """Undo or redo the last edit of a list; it stays there if the catalogue cannot be written, to be tried again."""
    if not source:
        return None
    edit = source[-1]
    try:
        work(edit)
    except StaleError:
        source.pop()
        raise
    destination.append(source.pop())
    return edit


def _if_unchanged(expected: Codes, codes: Codes) -> Callable[[LabelColumns, Ids], Codes]:
    """Return a function for `Session._store` that stores labels unless the author has changed them elsewhere."""

    def new_codes(labels: LabelColumns, rows: Ids) -> Codes:
        if (labels.own[rows] != expected).any():
            raise StaleError
        return codes

    return new_codes


def _toggled(labels: LabelColumns, rows: Ids, name: str, target: Target[Any]) -> Codes:
    """Return the labels with a class added, or without it if all of them have it."""
    codes = labels.codes[rows]
    classes = {code: set(split_classes(labels.values[code])) if code >= 0 else set() for code in np.unique(codes)}
    remove = all(name in names for names in classes.values())
    new = {}
    for code, names in classes.items():
        joined = SEPARATOR.join(sorted(names - {name} if remove else names | {name}))
        new[code] = labels.code(target.parse_value(joined)) if joined else -1
    return np.asarray([new[code] for code in codes.tolist()], np.int32)
