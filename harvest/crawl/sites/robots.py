"""What a site allows: robots.txt (RFC 9309) and ``/.well-known/tdmrep.json`` (TDM Reservation Protocol)."""

import codecs
import json
import math
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from protego import Protego

AGENT = "lightmeter"
"""Product token of the crawler in robots.txt, X-Robots-Tag and robots meta tags."""

_LINE_END = re.compile(r"\r\n|\r|\n")
_AGENT_FIELDS = {"user-agent", "useragent", "user agent"}
_RULE_FIELD = re.compile(r"allow|di(?:s+a|as)l+[oa]w")  # common misspellings are taken for what they mean
_TOKEN = re.compile(r"[A-Za-z_-]+|\*(?!\S)")
_BYTE_ORDER_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),  # before UTF-16, whose mark it begins with
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_RESERVED = {0: False, "0": False, 1: True, "1": True}


@dataclass(frozen=True, slots=True)
class RobotsRules:
    """The rules of a robots.txt for this crawler.

    Attributes:
        crawl_delay: Seconds to wait between two requests.
    """

    _rules: Protego = field(default_factory=Protego)
    crawl_delay: float = 0.0

    @classmethod
    def parse(cls, body: bytes, max_bytes: int) -> "RobotsRules":
        """Parse a robots.txt.

        Groups are selected here and not by Protego, which also takes a prefix of the crawler's name for the name.

        Args:
            body: The file, in UTF-8 or with a byte order mark.
            max_bytes: What lies behind is ignored (RFC 9309, section 2.5).
        """
        lines = _LINE_END.split(decode(body[:max_bytes]))
        if len(body) >= max_bytes:
            lines.pop()  # a rule cut in the middle would match more than it should
        rules: list[str] = []
        delays = [0.0]
        for name, value in _rules_of_agent(lines):
            if name == "crawl-delay":
                delays.append(_seconds(value))
            else:
                rules.append(f"{name}: {value}")
        return cls(Protego.parse("\n".join(["User-agent: *", *rules])), max(delays))

    def allow(self, url: str) -> bool:
        """Return whether a URL may be requested."""
        return self._rules.can_fetch(url, AGENT)


@dataclass(frozen=True, slots=True)
class TdmRules:
    """The rules of a ``tdmrep.json``: the first one that matches decides."""

    _rules: tuple[tuple[Protego, bool], ...] = ()

    @classmethod
    def parse(cls, body: bytes) -> "TdmRules":
        """Parse a ``tdmrep.json``; one that is not valid has no rules, as the protocol says."""
        try:
            content = json.loads(body)
        except (ValueError, RecursionError):
            return cls()
        rules = content if isinstance(content, list) else [content]
        return cls(tuple(parsed for rule in rules if (parsed := _tdm_rule(rule))))

    def reserve(self, url: str) -> bool:
        """Return whether the rights of text and data mining are reserved for a URL."""
        return next((reserved for location, reserved in self._rules if not location.can_fetch(url, AGENT)), False)


def decode(body: bytes) -> str:
    """Decode a text file of a site, whose encoding is UTF-8 unless its first bytes tell another one."""
    for mark, encoding in _BYTE_ORDER_MARKS:
        if body.startswith(mark):
            return body.decode(encoding, errors="ignore")
    if body[1:2] == b"\0":
        return body.decode("utf-16-le", errors="ignore")
    if body[:1] == b"\0":
        return body.decode("utf-16-be", errors="ignore")
    return body.decode("utf-8", errors="ignore")


def is_our_agent(value: str) -> bool | None:
    """Return whether a user agent names this crawler; None if it names all (``*``)."""
    token = _TOKEN.match(value)
    if token is None:
        return False
    return None if token[0] == "*" else token[0].lower() == AGENT


def _rules_of_agent(lines: list[str]) -> list[tuple[str, str]]:
    """Return the rules of all groups for this crawler, or of those for all crawlers if there are none."""
    groups: dict[bool | None, list[tuple[str, str]]] = {}
    current: set[bool | None] = set()
    in_rules = False
    for name, value in _directives(lines):
        if name in _AGENT_FIELDS:
            agent = is_our_agent(value)
            groups.setdefault(agent, [])
            current = {agent} if in_rules else {agent, *current}
            in_rules = False
        elif name == "crawl-delay" or _RULE_FIELD.fullmatch(name):
            in_rules = True
            for agent in current:
                groups[agent].append(("disallow" if name.startswith("d") else name, value))
    return groups.get(True, groups.get(None, []))


def _directives(lines: list[str]) -> Iterator[tuple[str, str]]:
    """Yield the names, in lower case, and values of all lines; the colon may be missing."""
    for line in lines:
        text = line.partition("#")[0].strip()
        name, colon, value = text.partition(":")
        if not colon:
            name, _, value = text.partition(" ")
        if name:
            yield name.strip().lower().replace("crawl delay", "crawl-delay"), value.strip()


def _seconds(value: str) -> float:
    try:
        seconds = float(value.replace(",", "."))
    except ValueError:
        return 0.0
    return seconds if math.isfinite(seconds) else 0.0


def _tdm_rule(rule: Any) -> tuple[Protego, bool] | None:
    """Return a rule whose location is disallowed in a robots.txt of its own, because both match paths alike."""
    if not isinstance(rule, dict):
        return None
    location, value = rule.get("location"), rule.get("tdm-reservation")
    if not isinstance(location, str) or not isinstance(value, int | str) or value not in _RESERVED:
        return None
    path = "".join(location.split())
    path = path if path.startswith(("/", "*")) else f"/{path}"
    return Protego.parse(f"User-agent: *\nDisallow: {path.partition('#')[0]}"), _RESERVED[value]
