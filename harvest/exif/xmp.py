"""Camera settings and film data in XMP (ISO 16684-1), from packets in files and from sidecars."""

import re
from collections.abc import Iterator
from xml.etree import ElementTree as ET

_RDF = "{http://www.w3.org/1999/02/22-rdf-syntax-ns#}"
_DESCRIPTION, _ABOUT, _ITEM = f"{_RDF}Description", f"{_RDF}about", f"{_RDF}li"
_GROUPS = {
    "http://ns.adobe.com/tiff/1.0": "XMP-tiff",
    "http://ns.adobe.com/exif/1.0": "XMP-exif",
    "http://cipa.jp/exif/1.0": "XMP-exifEX",
    "http://ns.adobe.com/exif/1.0/aux": "XMP-aux",
    "http://ns.adobe.com/xap/1.0": "XMP-xmp",
    "http://analogexif.sourceforge.net/ns": "XMP-AnalogExif",
    "https://retroexif.local/ns/analogexif/1.0": "XMP-AnalogExif",
    "https://filmexif.app/ns/filmscan/1.0": "XMP-AnalogExif",
    "https://negpy.app/ns/1.0": "XMP-NegPy",
}
"""Namespaces that are read, and ExifTool's names of their groups."""

_MAX_BYTES = 1 << 20
_MAX_DEPTH = 32
_MAX_ITEMS = 64
_ROOT = re.compile(rb"<((?:\w{1,32}:)?(?:x[am]pmeta|RDF))[\s>]")
_DECLARATION = re.compile(rb"<!(?:DOCTYPE|ENTITY)", re.IGNORECASE)
_INVALID = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]")  # in XML 1.0


def xmp_tags(data: bytes) -> dict[str, object]:
    """Return the tags that an XMP packet has about its own file, by group and name (``XMP-exif:FNumber``).

    There are none without a packet, or if it is not well-formed XML. Packets that declare entities are
    rejected: XMP does not need them, but attacks do.

    Args:
        data: A packet or a sidecar.
    """
    packet = _packet(data[:_MAX_BYTES])
    try:
        root = ET.fromstring(packet, ET.XMLParser(target=_BoundedBuilder())) if packet else None  # noqa: S314
    except (ET.ParseError, ValueError):
        root = None
    tags: dict[str, object] = {}
    for description in _own_descriptions(root) if root is not None else ():
        for name, value in _properties(description):
            namespace, _, tag = name.removeprefix("{").rpartition("}")
            group = _GROUPS.get(namespace.rstrip("/#"))
            if group:
                tags.setdefault(f"{group}:{tag}", value)
    return tags


class _BoundedBuilder(ET.TreeBuilder):
    """Builds a tree of limited depth, so that reading it takes linear time."""

    def __init__(self) -> None:
        super().__init__()
        self._depth = 0

    def start(self, tag: str, attrs: dict[str, str], /) -> ET.Element:
        """Open an element."""
        self._depth += 1
        if self._depth > _MAX_DEPTH:
            raise ValueError("The XMP packet is nested too deeply.")
        return super().start(tag, attrs)

    def end(self, tag: str, /) -> ET.Element:
        """Close an element."""
        self._depth -= 1
        return super().end(tag)


def _packet(data: bytes) -> str | None:
    """Return the XML of a packet in any encoding of Unicode, without characters that XML does not allow."""
    if data[:2] in (b"\xff\xfe", b"\xfe\xff") or b"\0" in data[:4]:
        wide = "utf-32" if data[:4].count(0) > 2 else "utf-16"
        order = "-be" if data[:1] == b"\0" else "-le"
        marked = data[:2] in (b"\xff\xfe", b"\xfe\xff")
        data = data.decode(wide if marked else wide + order, "ignore").encode()
    root = _ROOT.search(data)
    if root is None or _DECLARATION.search(data):
        return None
    closing = b"</" + root[1]
    end = data.find(closing, root.end())
    packet = data[root.start() : end] + closing + b">" if end >= 0 else data[root.start() :]
    return _INVALID.sub("", packet.decode("utf-8", "replace"))


def _own_descriptions(root: ET.Element) -> list[ET.Element]:
    """Return the descriptions of the file itself (ISO 16684-1, 7.4).

    Those inside a property describe other things, such as ingredients. If the descriptions have several subjects, the
    file is the one without a name or, if all have one, the first.
    """
    rdf = root if root.tag == f"{_RDF}RDF" else root.find(f"{_RDF}RDF")
    descriptions = rdf.findall(_DESCRIPTION) if rdf is not None else []
    subjects = [description.get(_ABOUT, description.get("about", "")).strip() for description in descriptions]
    named = list(dict.fromkeys(filter(None, subjects)))
    own = {""} if "" in subjects else set(named[:1])
    if len(named) == 1 and named[0].startswith("uuid:"):  # old programs give some of the descriptions this name
        own.add(named[0])
    return [description for description, subject in zip(descriptions, subjects, strict=True) if subject in own]


def _properties(description: ET.Element) -> Iterator[tuple[str, object]]:
    yield from description.attrib.items()
    for child in description:
        yield child.tag, _value(child)


def _value(element: ET.Element) -> object:
    """Return the text of a property, the texts of a list, or the value ``Fired`` of a flash structure."""
    items = [item.text or "" for item in element.iter(_ITEM)][:_MAX_ITEMS]
    if items:
        return items[0] if len(items) == 1 else items
    for part in element.iter():
        for name, value in (*part.attrib.items(), (part.tag, part.text)):
            if name.endswith("}Fired"):
                return value or ""
    return element.text or ""
