"""Finding photographs by what people call them."""

import re
from pathlib import Path

from sqlalchemy import Connection, select

from lightmeter.errors import UsageError
from lightmeter.files import sha256_of
from lightmeter.harvest.catalogue.models import Image, Sighting

_PREFIX = re.compile(r"[0-9a-f]{6,64}")
_SHOWN = 5


def find_image(connection: Connection, name: str) -> int:
    """Return the id of the image that a person means.

    Args:
        connection: to the catalogue.
        name: a file with the same content; the beginning of a SHA-256; or the name that it had at its source.

    Raises:
        UsageError: if it is none or several.
    """
    if Path(name).is_file():
        found = _by_hash(connection, sha256_of(Path(name)))
    elif _PREFIX.fullmatch(name):
        found = _by_hash(connection, name) or _by_file(connection, name)
    else:
        found = _by_file(connection, name)
    if not found:
        raise UsageError(f"The catalogue has no photograph '{name}'; give a file, a SHA-256 or a name at its source.")
    if len(found) > 1:
        hashes = ", ".join(sha256[:12] for sha256 in list(found.values())[:_SHOWN])
        raise UsageError(f"'{name}' means {len(found)} photographs ({hashes}, …); give more of the SHA-256.")
    return next(iter(found))


def _by_hash(connection: Connection, prefix: str) -> dict[int, str]:
    query = select(Image.id, Image.sha256).where(Image.sha256 >= prefix, Image.sha256 < prefix + "g")
    return dict(connection.execute(query.order_by(Image.sha256).limit(_SHOWN + 1)).all())


def _by_file(connection: Connection, name: str) -> dict[int, str]:
    query = select(Image.id, Image.sha256).join(Sighting, Sighting.image_id == Image.id)
    query = query.where((Sighting.file == name) | Sighting.file.endswith(f"/{name}", autoescape=True))
    return dict(connection.execute(query.order_by(Image.sha256).limit(_SHOWN + 1)).all())
