"""The fields of a request's body: a photograph as itself, as a form, or inside JSON."""

import logging
import re
from collections.abc import Mapping
from io import BytesIO
from urllib.parse import parse_qsl

from python_multipart import parse_form
from python_multipart.exceptions import FormParserError
from python_multipart.multipart import Field, File

logging.getLogger("python_multipart").setLevel(logging.ERROR)  # it warns of every damaged form

_MULTIPART, _URLENCODED = "multipart/form-data", "application/x-www-form-urlencoded"
_FORM_START = re.compile(rb"[A-Za-z_][A-Za-z0-9_.-]{0,30}=[\x20-\x7e]*")
_SNIFFED_BYTES = 256


class InvalidForm(Exception):
    """The form of a request cannot be read; the message is a sentence for the client."""


def may_be_form(content_type: str) -> bool:
    """Return whether a body of this content type may be a form, which takes time to parse."""
    return _kind(content_type) in {_MULTIPART, _URLENCODED}


def request_fields(content_type: str, body: bytes, query: Mapping[str, str]) -> dict[str, bytes]:
    """Return the fields of a request by name.

    A body that is no form is the field ``body``, whatever its content type says: image formats and JSON are
    recognised by their content. So are forms of the type ``application/x-www-form-urlencoded``, which curl's
    ``--data-binary`` claims of every file.

    Args:
        content_type: Header ``Content-Type``; may be empty.
        body: The body.
        query: Parameters of the URL, which are options like the fields of a form.

    Raises:
        InvalidForm: The form is damaged, or gives a field twice.
    """
    fields = {name: value.encode("utf-8", "replace") for name, value in query.items()}
    for name, value in _parse(content_type, body):
        if name in fields:
            raise InvalidForm(f"The request gives the field {name[:50]!r} more than once.")
        fields[name] = value
    return fields


def _kind(content_type: str) -> str:
    return content_type.partition(";")[0].strip().lower()


def _parse(content_type: str, body: bytes) -> list[tuple[str, bytes]]:
    kind = _kind(content_type)
    if kind == _MULTIPART and "boundary=" in content_type.lower():
        return _multipart(content_type, body)
    if kind == _URLENCODED and _FORM_START.fullmatch(body[:_SNIFFED_BYTES].rstrip()):
        pairs = parse_qsl(body.decode("latin-1"), keep_blank_values=True, encoding="latin-1")  # one character a byte
        return [(_name(name.encode("latin-1")), value.encode("latin-1")) for name, value in pairs]
    return [("body", body)]


def _multipart(content_type: str, body: bytes) -> list[tuple[str, bytes]]:
    fields: list[tuple[str, bytes]] = []

    def on_field(field: Field) -> None:
        fields.append((_name(field.field_name), field.value or b""))

    def on_file(file: File) -> None:
        file.file_object.seek(0)
        fields.append((_name(file.field_name), file.file_object.read()))
        file.close()

    headers = {"Content-Type": content_type.encode("latin-1", "replace"), "Content-Length": str(len(body)).encode()}
    try:
        parse_form(headers, BytesIO(body), on_field, on_file)
    except (FormParserError, ValueError) as error:
        raise InvalidForm("The form cannot be read; check its boundary and the headers of its parts.") from error
    return fields


def _name(name: bytes | None) -> str:
    return (name or b"").decode("utf-8", "replace")
