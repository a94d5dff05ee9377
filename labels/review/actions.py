"""What a person does on the review page, and how it is undone."""

from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Engine, delete, insert, select

from harvest.catalogue.resolve import resolved_exif
from harvest.catalogue.tables import Image, Label, Region
from labels import statements
from labels.judgement import by_hand
from labels.review.boxes import Box, Size, seen_size, to_stored
from labels.targets.base import Target
from lightmeter.errors import UsageError

BOX_KINDS = ("inside", "face")
"""What a box can be: the inside of a frame, a face."""
ORIGIN = "hand"


@dataclass
class Session:
    """One person's session.

    Attributes:
        done: what can be undone, newest last: the image and either the label that the person gave before or a box.
    """

    engine: Engine
    target: Target[Any]
    author: str
    done: list[tuple[int, str, Any]] = field(default_factory=list)

    def label(self, image_id: int, value: str | None) -> None:
        """Say what a photograph is; None takes the person's word back.

        Raises:
            UsageError: if there is no such class or photograph.
        """
        with self.engine.connect() as connection:
            if connection.scalar(select(Image.id).where(Image.id == image_id)) is None:
                raise UsageError("There is no such photograph.")
        before = self._mine(image_id)
        self._say(image_id, value)
        self.done.append((image_id, "label", before))

    def box(self, image_id: int, kind: str, seen: Box) -> int:
        """Keep a box that was drawn on the picture as it is seen, and return its number.

        Raises:
            UsageError: if it lies outside, is empty, or its kind is unknown.
        """
        with self.engine.begin() as connection:
            row = connection.execute(select(Image.width, Image.height).where(Image.id == image_id)).one_or_none()
            if row is None or kind not in BOX_KINDS:
                raise UsageError("There is no such photograph or no such kind of box.")
            orientation = resolved_exif(connection, image_id, image_id, ("orientation",)).get(image_id, {})
            turned = orientation.get("orientation") or 1
            stored = Size(*row)
            size = seen_size(stored, turned)
            if not _is_inside(seen, size):
                raise UsageError("The box is empty or lies outside the picture.")
            values = {**to_stored(seen, stored, turned)._asdict(), "image_id": image_id, "kind": kind}
            number = connection.execute(
                insert(Region).values(**values, origin=ORIGIN, orientation=turned).returning(Region.id)
            ).scalar_one()
        self.done.append((image_id, "box", number))
        return number

    def undo(self) -> int | None:
        """Take the last action back; return its photograph, or None if there is nothing to undo."""
        if not self.done:
            return None
        image_id, what, before = self.done.pop()
        if what == "label":
            self._say(image_id, before)
        else:
            with self.engine.begin() as connection:
                connection.execute(delete(Region).where(Region.id == before))
        return image_id

    def _say(self, image_id: int, value: str | None) -> None:
        with self.engine.begin() as connection:
            statements.add(connection, [by_hand(image_id, self.target, value, self.author)])

    def _mine(self, image_id: int) -> str | None:
        query = select(Label.value).where(
            Label.image_id == image_id,
            Label.target == self.target.name,
            Label.origin == "hand",
            Label.author == self.author,
        )
        with self.engine.connect() as connection:
            return connection.scalar(query.order_by(Label.id.desc()).limit(1))


def _is_inside(box: Box, size: Size) -> bool:
    across = 0 <= box.x < box.x + box.width <= size.width
    return across and 0 <= box.y < box.y + box.height <= size.height
