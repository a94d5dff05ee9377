"""What a person does on the review page, and how it is undone."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Engine, select

from lightmeter.errors import UsageError
from lightmeter.harvest.catalogue.models import Image, Label
from lightmeter.labels.annotations import model as statements
from lightmeter.labels.annotations.manual import by_hand
from lightmeter.labels.datasets.crops import Crop
from lightmeter.labels.review.boxes import Box
from lightmeter.labels.review.regions import BoxEdit, draw, remove, restore
from lightmeter.labels.targets.base import Target


@dataclass
class Session:
    """One person's session.

    Attributes:
        engine: of the catalogue.
        target: what is judged.
        author: who judges.
        crops: by kind, which boxes count.
        done: what can be undone, newest last: the image, and the label that the person gave before or what they had
            drawn.
    """

    engine: Engine
    target: Target[Any]
    author: str
    crops: Mapping[str, Crop]
    done: list[tuple[int, str | BoxEdit | None]] = field(default_factory=list)

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
        self.done.append((image_id, before))

    def box(self, image_id: int, kind: str, seen: Box, instead_of: int | None = None) -> None:
        """Keep a box that was drawn on the picture as it is seen, or that corrects another.

        Raises:
            UsageError: if it lies outside, is empty, or its kind or the other box is unknown.
        """
        crop = self._crop(kind)
        with self.engine.begin() as connection:
            before = draw(connection, image_id, crop, seen, instead_of)
        self.done.append((image_id, before))

    def unbox(self, image_id: int, kind: str, number: int) -> None:
        """Say that a box is none.

        Raises:
            UsageError: if there is no such box or kind.
        """
        crop = self._crop(kind)
        with self.engine.begin() as connection:
            before = remove(connection, image_id, crop, number)
        self.done.append((image_id, before))

    def undo(self) -> int | None:
        """Take the last action back; return its photograph, or None if there is nothing to undo."""
        if not self.done:
            return None
        image_id, before = self.done.pop()
        if isinstance(before, BoxEdit):
            with self.engine.begin() as connection:
                restore(connection, image_id, before)
        else:
            self._say(image_id, before)
        return image_id

    def _crop(self, kind: str) -> Crop:
        if kind not in self.crops:
            raise UsageError("There is no such kind of box.")
        return self.crops[kind]

    def _say(self, image_id: int, value: str | None) -> None:
        with self.engine.begin() as connection:
            statements.insert(connection, [by_hand(image_id, self.target, value, self.author)])

    def _mine(self, image_id: int) -> str | None:
        about = (Label.image_id == image_id) & (Label.origin == "hand") & (Label.author == self.author)
        with self.engine.connect() as connection:
            said = statements.read(connection, about, [self.target.name])
        return said[-1].value if said else None
