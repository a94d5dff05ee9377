"""Opt-outs of responses and pages: X-Robots-Tag, TDM-Reservation and their meta elements."""

from collections.abc import Iterator
from dataclasses import dataclass

from scrapy.http import Response, TextResponse

from lightmeter.harvest.crawl.robots import is_our_agent

_OPT_OUTS = {"noai", "noimageai", "noml", "noindex", "noimageindex", "none"}
_NO_FOLLOW = {"nofollow", "none"}
_WITH_VALUE = {"max-image-preview", "max-snippet", "max-video-preview", "unavailable_after"}
_TDM = "tdm-reservation"


@dataclass(frozen=True, slots=True)
class OptOut:
    """What the owner of a response or page does not want.

    Attributes:
        reason: Reason to refuse its photographs; None if they may be used.
        follow: Whether the links of a page may be followed.
    """

    reason: str | None = None
    follow: bool = True


def header_opt_out(response: Response) -> OptOut:
    """Return the opt-out in the headers of a response."""
    directives = [tag for value in _header(response, "X-Robots-Tag") for tag in _our_directives(value)]
    return _opt_out("X-Robots-Tag", directives, _header(response, "TDM-Reservation"))


def page_opt_out(response: Response) -> OptOut:
    """Return the opt-out of a page, in its headers or its meta elements; the latter decide about TDM reservation."""
    header = header_opt_out(response)
    if not isinstance(response, TextResponse):
        return header
    directives: list[str] = []
    reservations = _header(response, "TDM-Reservation")
    for element in response.css("meta[content]"):
        name = (element.attrib.get("name") or element.attrib.get("http-equiv") or "").strip().lower()
        content = element.attrib["content"]
        if name == _TDM:
            reservations = [content]
        elif name == "x-robots-tag":
            directives += _our_directives(content)
        elif name == "robots" or is_our_agent(name):
            directives += _directives(content)
    meta = _opt_out("robots meta element", directives, reservations)
    robots_reason = header.reason if header.reason and _TDM not in header.reason.lower() else None
    return OptOut(robots_reason or meta.reason, header.follow and meta.follow)


def _opt_out(name: str, directives: list[str], reservations: list[str]) -> OptOut:
    """Return the opt-out of directives for this crawler and values of ``tdm-reservation``."""
    opt_out = next((directive for directive in directives if directive in _OPT_OUTS), None)
    reason = f"opt-out: {name} {opt_out}" if opt_out else None
    if reason is None and any(value.strip() == "1" for value in reservations):
        reason = "opt-out: TDM-Reservation"
    return OptOut(reason, not any(directive in _NO_FOLLOW for directive in directives))


def _our_directives(value: str) -> Iterator[str]:
    """Yield the directives of a header that are for all crawlers or this one: ``otherbot: noai, nofollow`` has none."""
    ours = True
    for part in value.split(","):
        agent, colon, directives = part.partition(":")
        agent = agent.strip().lower()
        has_agent = bool(colon) and agent not in _WITH_VALUE and " " not in agent
        if has_agent:
            ours = is_our_agent(agent) is not False
        if ours:
            yield from _directives(directives if has_agent else part)


def _directives(text: str) -> Iterator[str]:
    """Yield the directives of a text, separated by commas or blanks, except those with a value."""
    for part in text.lower().replace(";", ",").split(","):
        if part.partition(":")[0].strip() not in _WITH_VALUE:
            yield from part.split()


def _header(response: Response, name: str) -> list[str]:
    return [value.decode("latin-1") for value in response.headers.getlist(name)]
