"""Web pages: what their owners opt out of (X-Robots-Tag, TDM-Reservation, meta elements), and parsing within limits."""

import asyncio
import logging
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from scrapy import Request
from scrapy.http import Response, TextResponse

from lightmeter.harvest.crawl.discovery import in_daemon_thread
from lightmeter.harvest.crawl.limits import MAX_PAGE_ITEMS, PAGE_PARSING_S
from lightmeter.harvest.crawl.sites.robots import is_our_agent
from lightmeter.harvest.sources.base import Sighting, SpiderSource, Unreadable

_OPT_OUTS = {"noai", "noimageai", "noml", "noindex", "noimageindex", "none"}
_NO_FOLLOW = {"nofollow", "none"}
_WITH_VALUE = {"max-image-preview", "max-snippet", "max-video-preview", "unavailable_after"}
_TDM = "tdm-reservation"
_POLL_S = 0.2


logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class OptOut:
    """What the owner of a response or page does not want.

    Attributes:
        reason: Reason to refuse its photographs; None if they may be used.
        follow: Whether the links of a page may be followed.
    """

    reason: str | None = None
    follow: bool = True


@dataclass
class ParsedPage:
    """What a source reads from a web page.

    Attributes:
        opt_out: What the owner of the page does not want.
        items: Photographs.
        links: Requests for other pages.
        problem: Why there may be more; None if everything was read.
        abandoned: Whether a thread still parses the page.
    """

    opt_out: OptOut
    items: list[Sighting | Unreadable] = field(default_factory=list)
    links: list[Request] = field(default_factory=list)
    problem: str | None = None
    abandoned: bool = False


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


async def parse_page(
    response: Response, source: SpiderSource, query: Any, is_stopping: Callable[[], bool] = lambda: False
) -> ParsedPage:
    """Return what a source reads from a page until it ends, fails or exceeds a limit.

    It works in a thread, because a large page may take seconds, during which the crawl goes on.

    Args:
        response: The page.
        source: Source plugin.
        query: Query of the source.
        is_stopping: Returns whether nobody needs the rest of the page.
    """
    page = ParsedPage(header_opt_out(response))
    work = in_daemon_thread(partial(_parse, page, response, source, query), "page-parser")
    deadline = time.monotonic() + PAGE_PARSING_S
    while not (work.done() or is_stopping() or time.monotonic() > deadline):
        await asyncio.wait({work}, timeout=_POLL_S)
    if not work.done():
        problem = f"parsing took longer than {PAGE_PARSING_S:.0f} s"
        return ParsedPage(page.opt_out, list(page.items), list(page.links), problem, abandoned=True)
    if error := work.exception():
        logger.error("%s cannot be parsed", response.url, exc_info=error)
        page.problem = f"cannot be parsed ({type(error).__name__}: {error})"
    return page


def _parse(page: ParsedPage, response: Response, source: SpiderSource, query: Any) -> None:
    page.opt_out = page_opt_out(response)
    for number, result in enumerate(source.parse(response, query)):
        if number == MAX_PAGE_ITEMS:
            page.problem = f"more than {MAX_PAGE_ITEMS:,} photographs and links"
            return
        if isinstance(result, Request):
            page.links.append(result)
        else:
            page.items.append(result)


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
