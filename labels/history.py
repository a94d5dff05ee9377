"""Every statement of the catalogue, as it goes to other programs."""

from collections.abc import Iterator
from typing import Any

from sqlalchemy import Connection, select

from harvest.catalogue.tables import Image, Label, Sighting
from labels.evidence import spans

COLUMNS = (
    "sha256", "file", "target", "value", "number", "origin", "author", "version", "confidence", "created_at",
)  # fmt: skip
"""What a statement is outside the catalogue."""


def history_rows(connection: Connection, targets: list[str], where: str = "") -> Iterator[dict[str, Any]]:
    """Yield every statement about some targets with its photograph's hash, name and address.

    Args:
        connection: to the catalogue.
        targets: whose labels.
        where: a query that chooses photographs; empty for all.
    """
    for span in spans(connection, where):
        meant = set(span.ids)
        files = (
            select(Sighting.image_id, Sighting.file, Sighting.media_url)
            .where(Sighting.image_id.between(span.first, span.last))
            .order_by(Sighting.id.desc())
        )
        named = {image: (name, url) for image, name, url in connection.execute(files)}
        query = (
            select(Image.sha256, *(c for c in Label.__table__.columns if c.name != "id"))
            .join(Image, Image.id == Label.image_id)
            .where(Label.image_id.between(span.first, span.last), Label.target.in_(targets))
            .order_by(Label.image_id, Label.id)
        )
        for row in connection.execute(query).mappings():
            if row["image_id"] in meant:
                name, url = named.get(row["image_id"], (None, None))
                yield {**row, "file": name, "media_url": url}
