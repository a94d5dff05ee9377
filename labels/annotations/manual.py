"""Labels by hand: what a person says, and everything that was ever said of a photograph."""

import getpass
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Engine, select

from lightmeter.harvest.catalogue.exif_view import resolved_exif
from lightmeter.harvest.catalogue.lookup import find_image
from lightmeter.harvest.catalogue.models import Image, Label, Sighting
from lightmeter.labels.annotations import model as statements
from lightmeter.labels.annotations.model import Annotation
from lightmeter.labels.targets.base import Target


def author() -> str:
    """Return who sits here: the name that the operating system knows."""
    try:
        return getpass.getuser()
    except OSError:
        return "somebody"


def by_hand(image_id: int, target: Target[Any], value: str | None, who: str, origin: str = "hand") -> Annotation:
    """Return the statement of a person.

    Args:
        image_id: of the photograph.
        target: what is labelled.
        value: a class, or several with "|" between them where the target allows it; None takes back what the same
            person said before.
        who: the person.
        origin: ``hand`` or ``import``.

    Raises:
        UsageError: if the target has no such class.
    """
    value = None if value is None else target.parse_value(value)
    return Annotation(image_id, target.name, value, target.number_of(value), origin, who, None)


def set_labels(
    engine: Engine, photographs: Sequence[str], values: Mapping[Target[Any], str | None], who: str
) -> list[str]:
    """Label photographs by hand, all of them or none.

    Args:
        engine: of the catalogue.
        photographs: files, beginnings of SHA-256s, or names at the source.
        values: a class for each target; None takes the person's earlier label back.
        who: the person.

    Returns:
        The SHA-256 of each photograph.
    """
    with engine.begin() as connection:
        images = [find_image(connection, name) for name in photographs]
        statements.insert(
            connection, [by_hand(image, target, value, who) for image in images for target, value in values.items()]
        )
        hashes = {image: connection.scalar(select(Image.sha256).where(Image.id == image)) for image in images}
    return [str(hashes[image]) for image in images]


def history(connection: Connection, name: str) -> dict[str, Any]:
    """Return all that is known of a photograph and was ever said of it.

    Args:
        connection: to the catalogue.
        name: as `image_of` takes it.
    """
    image_id = find_image(connection, name)
    image = connection.execute(
        select(Image.sha256, Image.format, Image.width, Image.height, Image.problem).where(Image.id == image_id)
    ).one()
    seen = select(Sighting.source, Sighting.file, Sighting.owner, Sighting.licence, Sighting.page_url)
    return {
        **image._asdict(),
        "sightings": [row._asdict() for row in connection.execute(seen.where(Sighting.image_id == image_id))],
        "exif": resolved_exif(connection, image_id, image_id).get(image_id, {}),
        "labels": _labels(connection, image_id),
    }


def _labels(connection: Connection, image_id: int) -> list[dict[str, Any]]:
    """Return every statement about an image, oldest first, each with whether it is one that counts."""
    columns = [getattr(Label, name) for name in (*Annotation._fields, "created_at")]
    query = select(*columns).where(Label.image_id == image_id).order_by(Label.created_at, Label.id)
    rows = connection.execute(query).all()
    said = [Annotation(*row[:-1]) for row in rows]
    counting = {id(one) for one in statements.resolve_conflicts(said).values()}
    return [
        {**one._asdict(), "created_at": row.created_at, "counts": id(one) in counting}
        for one, row in zip(said, rows, strict=True)
    ]


def when(row: Mapping[str, Any]) -> str:
    """Return the time of a statement to read."""
    time: datetime = row["created_at"]
    return time.astimezone().strftime("%Y-%m-%d %H:%M")
