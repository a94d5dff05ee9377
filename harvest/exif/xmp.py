"""Camera settings in XMP (ISO 16684-1), from packets in files and from sidecars."""

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
"""Namespaces with camera settings, and ExifTool's names of their groups."""

_MAX_BYTES = 1 << 20
_PACKET = re.compile(rb"<(\w+:)?xmpmeta.*?</(\w+:)?xmpmeta>|<(\w+:)?RDF\b.*?</(\w+:)?RDF>", re.DOTALL)
_DECLARATION = re.compile(rb"<!(DOCTYPE|ENTITY)", re.IGNORECASE)


def xmp_tags(data: bytes) -> dict[str, object]:
    """Return the tags of an XMP packet by group and name (``XMP-exif:FNumber``).

    There are none without a packet, or if it is not well-formed XML. Packets that declare entities are
    rejected: XMP does not need them, but attacks do.

    Args:
        data: A packet or a sidecar.
    """
    packet = _PACKET.search(data[:_MAX_BYTES])
    if packet is None or _DECLARATION.search(data[:_MAX_BYTES]):
        return {}
    try:
        root = ET.fromstring(packet[0])  # noqa: S314 - without declarations there is nothing to expand
    except (ET.ParseError, ValueError):
        return {}
    tags: dict[str, object] = {}
    for description in root.iter(f"{{{_RDF}}}Description"):
        for name, value in _properties(description):
            namespace, _, tag = name.removeprefix("{").rpartition("}")
            if namespace in _GROUPS:
                tags.setdefault(f"{_GROUPS[namespace]}:{tag}", value)
    return tags


def _properties(description: ET.Element) -> Iterator[tuple[str, object]]:
    yield from description.attrib.items()
    for child in description:
        yield child.tag, _value(child)


def _value(element: ET.Element) -> object:
    """Return the text of a property, the texts of a list, or the value ``Fired`` of a flash structure."""
    items = [item.text or "" for item in element.iter(f"{{{_RDF}}}li")]
    if items:
        return items[0] if len(items) == 1 else items
    for part in element.iter():
        for name, value in (*part.attrib.items(), (part.tag, part.text)):
            if name.endswith("}Fired"):
                return value or ""
    return element.text or ""
