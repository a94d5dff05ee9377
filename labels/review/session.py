"""A review session: the photographs of a queue, the labels and boxes set in it, and undo."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from threading import Lock
from typing import Any

from sqlalchemy import Connection, Engine, func, select

from lightmeter.errors import LightmeterError, UsageError
from lightmeter.harvest.catalogue.effective_labels import MANUAL
from lightmeter.harvest.catalogue.exif_view import resolved_exif
from lightmeter.harvest.catalogue.models import Exif, Image, Label, SightingRecord
from lightmeter.harvest.catalogue.session import write
from lightmeter.harvest.exif.columns import EXIF_COLUMNS
from lightmeter.images.geometry import Box, display_size
from lightmeter.labels.annotations.manual import manual_annotation
from lightmeter.labels.annotations.model import insert_annotations, read_annotations
from lightmeter.labels.datasets.crops import Crop
from lightmeter.labels.review.boxes import Row, add_box, display_boxes, image_size, remove_box, set_manual_boxes
from lightmeter.labels.review.queues import effective_labels
from lightmeter.labels.targets.base import Target, split_classes

_COLUMNS = [column for column in EXIF_COLUMNS.values() if column.name != "orientation"]
_NAMES = [column.name for column in _COLUMNS]


class StaleError(LightmeterError):
    """A label was changed elsewhere since the page showed it."""

    def __init__(self) -> None:
        super().__init__("The label was changed elsewhere; it is shown again. Nothing was changed.")


@dataclass
class Session:
    """Review session of one user.

    Attributes:
        engine: Catalogue engine.
        target: The target.
        author: Author of the labels.
        crops: As returned by `crops_by_kind`.
        history: Edits that can be undone, newest last: image id, and the function that undoes the edit.
        lock: Held while a label is compared and changed.
    """

    engine: Engine
    target: Target[Any]
    author: str
    crops: Mapping[str, Crop]
    history: list[tuple[int, Callable[[], object]]] = field(default_factory=list)
    lock: Lock = field(default_factory=Lock, repr=False)

    def classes(self) -> list[str]:
        """Return the classes of the target; for open classes those in use, by descending frequency."""
        if self.target.classes:
            return list(self.target.classes)
        query = select(Label.value, func.count()).where(Label.target == self.target.name, Label.value.is_not(None))
        with self.engine.connect() as connection:
            values = {str(value): int(count) for value, count in connection.execute(query.group_by(Label.value))}
        spellings, counts = self.target.spellings(values), Counter[str]()
        for value, count in values.items():
            counts.update(dict.fromkeys(split_classes(spellings[value]), count))
        return sorted(counts, key=lambda name: (-counts[name], name))

    def details(self, image_id: int) -> dict[str, Any]:
        """Return what the page shows of one photograph.

        Args:
            image_id: Primary key of the image.

        Returns:
            Id, SHA-256, label, formatted EXIF values, first sighting, display size, and boxes in display coordinates.

        Raises:
            UsageError: There is no such photograph.
        """
        with self.engine.connect() as connection:
            size, orientation = image_size(connection, image_id)
            sighting = connection.execute(
                select(SightingRecord.file, SightingRecord.owner, SightingRecord.source, SightingRecord.page_url).where(
                    SightingRecord.image_id == image_id
                )
            ).first()
            return {
                "id": image_id,
                "sha256": connection.scalar(select(Image.sha256).where(Image.id == image_id)),
                **effective_labels(connection, [image_id], self.target.name)[image_id],
                "exif": _formatted_exif(connection, image_id),
                "sighting": sighting._asdict() if sighting else {},
                "size": display_size(size, orientation)._asdict(),
                "boxes": display_boxes(connection, image_id, self.crops),
            }

    def label(self, image_id: int, value: str | None, seen: str | None) -> int:
        """Label a photograph, and return its id; None removes the author's label.

        Args:
            image_id: Primary key of the image.
            value: Class name, or several joined by ``|``; None removes the author's label.
            seen: The effective label that the page showed.

        Raises:
            UsageError: There is no such class or photograph.
            StaleError: The effective label is another one by now.
        """
        annotation = manual_annotation(image_id, self.target, value, self.author)

        def work(connection: Connection) -> str | None:
            image_size(connection, image_id)  # raises for an unknown photograph
            if effective_labels(connection, [image_id], self.target.name)[image_id]["label"] != seen:
                raise StaleError
            previous = self._own_label(connection, image_id)
            insert_annotations(connection, [annotation])
            return previous

        with self.lock:
            previous = write(self.engine, work)
        self.history.append((image_id, lambda: self._restore_label(image_id, annotation.value, previous)))
        return image_id

    def add_box(self, image_id: int, kind: str, box: Box, replaces: int | None = None) -> int:
        """Add a box in display coordinates, or replace another one; return the image id.

        Raises:
            UsageError: The box is empty or exceeds the image, or there is no such kind, photograph or box.
        """
        return self._edit_boxes(image_id, kind, lambda c, crop: add_box(c, image_id, crop, box, replaces))

    def remove_box(self, image_id: int, kind: str, box_id: int) -> int:
        """Remove a box, and return the image id.

        Raises:
            UsageError: There is no such kind or box.
        """
        return self._edit_boxes(image_id, kind, lambda c, crop: remove_box(c, image_id, crop, box_id))

    def undo(self) -> int | None:
        """Undo the last edit.

        Returns:
            The image id of the edit; None if there is nothing to undo.

        Raises:
            StaleError: The label has been changed elsewhere since.
        """
        if not self.history:
            return None
        image_id, undo = self.history.pop()
        undo()
        return image_id

    def _edit_boxes(self, image_id: int, kind: str, edit: Callable[[Connection, Crop], list[Row]]) -> int:
        if kind not in self.crops:
            raise UsageError(f"Unknown kind of box '{kind}'.")
        previous = write(self.engine, lambda connection: edit(connection, self.crops[kind]))
        self.history.append((image_id, lambda: self._restore_boxes(image_id, kind, previous)))
        return image_id

    def _restore_boxes(self, image_id: int, kind: str, rows: Sequence[Row]) -> None:
        write(self.engine, lambda connection: set_manual_boxes(connection, image_id, kind, rows))

    def _restore_label(self, image_id: int, expected: str | None, previous: str | None) -> None:
        def work(connection: Connection) -> None:
            if self._own_label(connection, image_id) != expected:
                raise StaleError
            insert_annotations(connection, [manual_annotation(image_id, self.target, previous, self.author)])

        with self.lock:
            write(self.engine, work)

    def _own_label(self, connection: Connection, image_id: int) -> str | None:
        """Return the author's newest label of a photograph."""
        own = (Label.image_id == image_id) & (Label.origin == MANUAL) & (Label.author == self.author)
        annotations = read_annotations(connection, own, [self.target.name])
        return annotations[-1].value if annotations else None


def _formatted_exif(connection: Connection, image_id: int) -> dict[str, str]:
    """Return effective EXIF values by column, and differing values of sources by column and origin: ``iso (api)``."""
    values = resolved_exif(connection, [image_id], _NAMES).get(image_id, {})
    formatted = {column.name: column.format(values[column.name]) for column in _COLUMNS if column.name in values}
    query = select(Exif.origin, *(getattr(Exif, name) for name in _NAMES))
    query = query.join(SightingRecord, Exif.sighting_id == SightingRecord.id).where(SightingRecord.image_id == image_id)
    for row in connection.execute(query.order_by(Exif.id)):
        for column in _COLUMNS:
            value = getattr(row, column.name)
            if value not in (None, values.get(column.name)):
                formatted[f"{column.name} ({row.origin})"] = column.format(value)
    return formatted
