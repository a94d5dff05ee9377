"""Websites described in a few lines of TOML."""

from collections.abc import Iterator
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any
from urllib.parse import urljoin

from cssselect import SelectorError
from parsel import Selector
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, field_validator
from scrapy import Request
from scrapy.http import Response, TextResponse

from lightmeter.errors import UsageError
from lightmeter.harvest.addresses import check_web_address, host_of, scheme_of
from lightmeter.harvest.sources.base import (
    AbsolutePath,
    Argument,
    Medium,
    Option,
    Sighting,
    SourceQuery,
    SpiderSource,
    Unreadable,
    convert_record,
)
from lightmeter.settings import first_error
from lightmeter.text.documents import read_toml

if TYPE_CHECKING:
    from lightmeter.settings import Settings


def _css_selector(selector: str) -> str:
    try:
        Selector(text="<p></p>").css(selector)
    except (SelectorError, ValueError) as error:
        raise ValueError(f"'{selector}' is not a CSS selector ({error})") from error
    return selector


_WEB = ("http", "https")

CssSelector = Annotated[str, AfterValidator(_css_selector)]


class PhotoSelectors(BaseModel):
    """Where the photographs are on a page, as Scrapy's CSS selectors (with ``::attr(…)`` and ``::text``).

    Attributes:
        each: Element of one photograph; the other selectors are applied inside it.
        media: URL of the original file.
        page: URL of the photograph's own page.
        id: Identifier at the site (default: the media URL).
        owner: Photographer.
        licence: Licence.
        attribution: Credit line.
        title: Title.
        tags: Tags, one per match.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    each: CssSelector
    media: CssSelector = "img::attr(src)"
    page: CssSelector | None = None
    id: CssSelector | None = None
    owner: CssSelector | None = None
    licence: CssSelector | None = None
    attribution: CssSelector | None = None
    title: CssSelector | None = None
    tags: CssSelector | None = None


class Site(BaseModel):
    """A site file.

    Attributes:
        name: Name of the site in the catalogue (default: host of the first start page).
        start: URLs of the first pages.
        follow: CSS selectors of links to further pages; links to hosts without a start page are ignored.
        photograph: Selectors of the photographs.
        medium: Medium of all photographs.
        owner: Default owner.
        licence: Default licence.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str = ""
    start: list[str] = Field(min_length=1)
    follow: list[CssSelector] = []
    photograph: PhotoSelectors
    medium: Medium | None = None
    owner: str | None = None
    licence: str | None = None

    @field_validator("start")
    @classmethod
    def _web_urls(cls, start: list[str]) -> list[str]:
        return [check_web_address(url) for url in start]


class Website(SpiderSource):
    """Crawls the pages of a site and yields the photographs that its site file describes."""

    name = "website"
    summary = "a website described in a TOML file: start pages, links to follow, selectors of photographs"

    class Query(SourceQuery):
        """Harvest the photographs of a website."""

        file: AbsolutePath = Argument("Site file (TOML); see docs/sources/website.md.")
        medium: Medium | None = Option(None, "Medium of all photographs.")

    def __init__(self, settings: "Settings") -> None:
        super().__init__(settings)
        self._site: Site | None = None

    def site(self, query: Any) -> str:
        """Return ``website:`` and the name of the site."""
        site = self._read(query)
        return f"{self.name}:{site.name or host_of(site.start[0])}"

    def start(self, query: Any) -> Iterator[Request]:
        """Yield requests for the start pages."""
        for url in self._read(query).start:
            yield Request(url)

    def parse(self, response: Response, query: Any) -> Iterator[Sighting | Unreadable | Request]:
        """Yield the photographs on a page, and requests for the pages that it links to."""
        if not isinstance(response, TextResponse):
            return
        site = self._read(query)
        for number, element in enumerate(response.css(site.photograph.each), start=1):
            convert = partial(_item, response=response, site=site, medium=query.medium)
            yield from convert_record(convert, element, f"{response.url}, photograph {number}")
        hosts = {host_of(url) for url in site.start}
        for link in (link for selector in site.follow for link in response.css(selector)):
            href = link.attrib.get("href", "").strip()
            url = _join(response, href)
            try:
                if href and scheme_of(url) in _WEB and host_of(url) in hosts:
                    yield response.follow(url)
            except ValueError:
                yield Unreadable(f"{response.url}, link {href[:200]}", "invalid address")

    def _read(self, query: Any) -> Site:
        """Return the site file as it was at the start of the run."""
        if self._site is None:
            self._site = read_site(query.file)
        return self._site


def read_site(file: Path) -> Site:
    """Read a site file.

    Raises:
        UsageError: The file cannot be read, or its content is invalid.
    """
    try:
        return Site(**read_toml(file))
    except ValidationError as error:
        raise UsageError(f"The site file {file}: {first_error(error)}") from error


def _item(element: Selector, response: TextResponse, site: Site, medium: Medium | None) -> Sighting | None:
    selectors = site.photograph

    def text(selector: str | None) -> str | None:
        return ((element.css(selector).get() or "").strip() or None) if selector else None

    media = text(selectors.media)
    if media is None:
        return None
    url, page = _join(response, media), text(selectors.page)
    return Sighting(
        source_id=text(selectors.id) or url,
        media_url=url,
        page_url=_join(response, page) if page else response.url,
        owner=text(selectors.owner) or site.owner,
        licence=text(selectors.licence) or site.licence,
        attribution=text(selectors.attribution),
        title=text(selectors.title),
        tags=tuple(tag.strip() for tag in element.css(selectors.tags).getall()) if selectors.tags else (),
        medium=medium or site.medium,
    )


def _join(response: TextResponse, href: str) -> str:
    """Return the absolute address of a link; a malformed one as it is, so that only its record fails."""
    with suppress(ValueError):
        return response.urljoin(href)
    with suppress(ValueError):  # a malformed base of the page
        return urljoin(response.url, href)
    return href
