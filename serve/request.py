"""What a request holds. Runs inside an archive."""

from collections.abc import Mapping
from dataclasses import dataclass

from models.preprocess import PhotographError

PARTS = ("body", "data", "image", "file")
"""Names of the part of a request's body that holds the photograph; a plain body is called ``body``."""


@dataclass(frozen=True)
class Request:
    """One photograph to read.

    Attributes:
        data: the file's bytes.
    """

    data: bytes


def read_request(row: Mapping[str, object]) -> Request:
    """Return the request that a body holds.

    Args:
        row: its parts by name.

    Raises:
        PhotographError: if there is no photograph in it.
    """
    for part in PARTS:
        if part in row:
            return Request(_bytes(row[part]))
    raise PhotographError(
        400, "The request holds no photograph; send the file as the body, or as the part 'data' of a form."
    )


def _bytes(value: object) -> bytes:
    if isinstance(value, str):  # TorchServe has decoded a body that calls itself text
        return value.encode()
    if isinstance(value, bytes | bytearray):
        return bytes(value)
    raise PhotographError(415, "The body is JSON, not a photograph.")
