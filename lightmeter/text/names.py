"""Names: when two of them mean the same, and which of them can be the name of a folder.

Names are stored as they were written. They are compared by their key, so that ``José`` in one and in two code points
(NFC and NFD, Unicode Standard Annex 15), ``Film`` and ``film``, and ``Ann  Lee`` and ``Ann Lee`` are one name.
"""

import re
import unicodedata
from collections.abc import Iterable, Mapping

MAX_NAME_BYTES = 240
"""Longest name, encoded as UTF-8; file systems allow 255 bytes."""

_RESERVED = re.compile(  # on Windows, and by Hugging Face for files beside the folders of classes
    r"(?:con|prn|aux|nul|com[0-9¹²³]|lpt[0-9¹²³])(?:\..*)?|metadata\.(?:csv|jsonl|parquet)", re.IGNORECASE
)
_UNSAFE = re.compile(r'[\x00-\x1f\x7f<>:"/\\|?*]+')
_UNPRINTABLE = ("Cc", "Cs", "Zl", "Zp")  # control characters, lone surrogates, line and paragraph separators


def name_key(name: str) -> str:
    """Return the key by which a name is compared: NFC, case folded, blanks trimmed and collapsed.

    Example:
        >>> name_key("  Ann   LEE "), name_key("Straße")
        ('ann lee', 'strasse')
    """
    if name.isascii():
        return " ".join(name.lower().split())
    # Decomposed first, because folding depends on the form; then lower case, because Cherokee is folded to capitals.
    folded = unicodedata.normalize("NFD", name).casefold().lower()
    return " ".join(unicodedata.normalize("NFC", folded).split())


def common_spellings(counts: Mapping[str, int]) -> dict[str, str]:
    """Return for each name the most frequent spelling of all names with the same key.

    Args:
        counts: How often each name was written.

    Example:
        >>> common_spellings({"Ann Lee": 3, "ann lee": 1})
        {'Ann Lee': 'Ann Lee', 'ann lee': 'Ann Lee'}
    """
    by_key = {name_key(name): name for name in sorted(counts, key=lambda name: (counts[name], name))}
    return {name: by_key[name_key(name)] for name in counts}


def name_problem(name: str) -> str | None:
    """Return what is wrong with a name that is stored and shown, or None.

    A name may contain slashes, as ``1/60``, but not be a way out of a folder, as ``../x``.
    """
    if not name or name != name.strip():
        return "is empty, or begins or ends with a blank"
    if any(unicodedata.category(character) in _UNPRINTABLE for character in name):
        return "contains a control character"
    if len(name.encode()) > MAX_NAME_BYTES:
        return f"has more than {MAX_NAME_BYTES} bytes"
    if {*re.split(r"[/\\]", name)} & {"", ".", ".."}:
        return "is a path"
    return None


def folder_name(name: str) -> str:
    """Return a name as a folder name that Linux, macOS and Windows accept and no loader of images ignores.

    Example:
        >>> folder_name("1/60"), folder_name(".hidden"), folder_name("con"), folder_name("a.b.tar")
        ('1-60', '_.hidden', 'con_', 'a.b.tar')
    """
    folder = _UNSAFE.sub("-", unicodedata.normalize("NFC", name)).rstrip(". ") or "_"
    if folder.startswith((".", "__")):  # hidden; Hugging Face ignores such folders
        folder = f"_{folder}" if folder.startswith(".") else folder.lstrip("_") or "_"
    if _RESERVED.fullmatch(folder):
        folder += "_"
    return folder


def equal_names(names: Iterable[str]) -> tuple[str, str] | None:
    """Return two names that mean the same or share a folder, or None."""
    previous: dict[str, str] = {}
    for name in names:
        keys = {name_key(name), name_key(folder_name(name))}
        for key in keys & previous.keys():
            return previous[key], name
        previous |= dict.fromkeys(keys, name)
    return None
