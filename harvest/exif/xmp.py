"""Camera settings in XMP (ISO 16684-1): packets inside files, and sidecars."""

import re
from collections.abc import Iterator
from xml.etree import ElementTree as ET

_RDF = "http://www.w3.org/1999/02/22-rdf-syntax-ns#"
_GROUPS = {
    "http://ns.adobe.com/tiff/1.0/": "XMP-tiff",
    "http://ns.adobe.com/exif/1.0/": "XMP-exif",
    "http://cipa.jp/exif/1.0/": "XMP-exifEX",
    "http://ns.adobe.com/exif/1.0/aux/": "XMP-aux",
    "http://ns.adobe.com/xap/1.0/": "XMP-xmp",
}
"""The schemas that say how a photograph was made, by the names that ExifTool gives them."""

_MOST_BYTES = 1 << 20
_PACKET = re.compile(rb"<(\w+:)?xmpmeta.*?</(\w+:)?xmpmeta>|<(\w+:)?RDF\b.*?</(\w+:)?RDF>", re.DOTALL)
_DECLARATION = re.compile(rb"<!(DOCTYPE|ENTITY)", re.IGNORECASE)

Tags = dict[str, object]


def xmp_tags(data: bytes) -> dict[str, Tags]:
    """Return the tags of an XMP packet by schema; none if there is no packet, or it is no clean XML.

    Packets that declare entities are not read at all: XMP has no use for them, and attacks have.

    Args:
        data: a packet or a sidecar.
    """
    packet = _PACKET.search(data[:_MOST_BYTES])
    if packet is None or _DECLARATION.search(data[:_MOST_BYTES]):
        return {}
    try:
        root = ET.fromstring(packet[0])  # noqa: S314 - without declarations there is nothing to expand
    except (ET.ParseError, ValueError):
        return {}
    found: dict[str, Tags] = {}
    for description in root.iter(f"{{{_RDF}}}Description"):
        for name, value in _properties(description):
            group = _GROUPS.get(_namespace(name))
            if group:
                found.setdefault(group, {}).setdefault(name.rpartition("}")[2], value)
    return found


def _properties(description: ET.Element) -> Iterator[tuple[str, object]]:
    yield from description.attrib.items()
    for child in description:
        yield child.tag, _value(child)


def _value(element: ET.Element) -> object:
    """Return a property's text, the texts of a list, or what a flash's structure says of firing."""
    items = [item.text or "" for item in element.iter(f"{{{_RDF}}}li")]
    if items:
        return items[0] if len(items) == 1 else items
    for part in element.iter():
        for name, value in (*part.attrib.items(), (part.tag, part.text)):
            if name.endswith("}Fired"):
                return value or ""
    return element.text or ""


def _namespace(name: str) -> str:
    return name[1:].partition("}")[0] if name.startswith("{") else ""
