"""A web site, described in a few lines of TOML."""

import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from cssselect import SelectorError
from parsel import Selector
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator
from scrapy import Request
from scrapy.http import Response, TextResponse

from lightmeter.errors import UsageError
from lightmeter.harvest.sources.base import Argument, Medium, Option, PhotoItem, SourceQuery, SpiderSource
from lightmeter.settings import first_error


class PhotoSelectors(BaseModel):
    """Where on a page its photographs are, as CSS selectors (Scrapy's, with ``::attr(…)`` and ``::text``).

    Attributes:
        each: the element that stands for one photograph; the others are looked up inside it.
        media: the address of the original file.
        page: the address of its own page.
        id: what the site calls it; the media address if not given.
        tags: every match is a tag.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    each: str
    media: str = "img::attr(src)"
    page: str | None = None
    id: str | None = None
    owner: str | None = None
    licence: str | None = None
    attribution: str | None = None
    title: str | None = None
    tags: str | None = None


class Site(BaseModel):
    """A site file.

    Attributes:
        name: of the site, as it stands in the catalogue; its host if not given.
        start: pages to begin with.
        follow: CSS selectors of links to further pages; they stay on the hosts of the start pages.
        medium: how all its photographs were taken, if that is known.
        owner: who made those that name nobody.
        licence: of those that name none.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str = ""
    start: list[str] = Field(min_length=1)
    follow: list[str] = []
    photograph: PhotoSelectors
    medium: Medium | None = None
    owner: str | None = None
    licence: str | None = None

    @field_validator("start")
    @classmethod
    def _web_addresses(cls, start: list[str]) -> list[str]:
        for url in start:
            if urlsplit(url).scheme not in {"http", "https"}:
                raise ValueError(f"{url} is no web address")
        return start

    @model_validator(mode="after")
    def _selectors(self) -> "Site":
        blank = Selector(text="<p></p>")
        texts = [value for value in self.photograph.model_dump().values() if value]
        for selector in [*self.follow, *texts]:
            try:
                blank.css(selector)
            except (SelectorError, ValueError) as error:
                raise ValueError(f"'{selector}' is no CSS selector ({error})") from error
        return self


class Website(SpiderSource):
    """Crawls the pages that a site file names and takes the photographs that it describes."""

    name = "website"
    summary = "a web site described in a TOML file: start pages, links to follow, where the picture is"

    class Query(SourceQuery):
        """Which site."""

        file: Path = Argument("Site file (TOML); docs/sources/website.md says what stands in it.")
        medium: Medium | None = Option(None, "How all of them were taken: film or digital.")

        @field_validator("file")
        @classmethod
        def _absolute(cls, file: Path) -> Path:
            return file.absolute()

    def site(self, query: Any) -> str:
        """Return ``website:`` and the site's name."""
        site = read_site(query.file)
        return f"{self.name}:{site.name or urlsplit(site.start[0]).netloc}"

    def start(self, query: Any) -> Iterator[Request]:
        """Yield the start pages."""
        for url in read_site(query.file).start:
            yield Request(url)

    def parse(self, response: Response, query: Any) -> Iterator[PhotoItem | Request]:
        """Yield a page's photographs, and requests for the pages that it links to."""
        if not isinstance(response, TextResponse):
            return
        site = read_site(query.file)
        for element in response.css(site.photograph.each):
            sighting = _sighting(element, response, site, query.medium)
            if sighting:
                yield sighting
        hosts = {urlsplit(url).netloc for url in site.start}
        for selector in site.follow:
            for link in response.css(selector):
                href = link.attrib.get("href", "").strip()
                if href and urlsplit(response.urljoin(href)).netloc in hosts:
                    yield response.follow(href)


def read_site(file: Path) -> Site:
    """Read a site file.

    Raises:
        UsageError: if it cannot be read, or something in it is wrong.
    """
    try:
        return Site(**tomllib.loads(file.read_text(encoding="utf-8")))
    except OSError as error:
        raise UsageError(f"The site file {file} cannot be read: {error.strerror}.") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UsageError(f"The site file {file} is not valid TOML: {error}.") from error
    except ValidationError as error:
        raise UsageError(f"The site file {file}: {first_error(error)}") from error


def _sighting(element: Selector, response: TextResponse, site: Site, medium: Medium | None) -> PhotoItem | None:
    where = site.photograph

    def text(selector: str | None) -> str | None:
        return ((element.css(selector).get() or "").strip() or None) if selector else None

    media = text(where.media)
    if media is None:
        return None
    url = response.urljoin(media)
    page = text(where.page)
    return PhotoItem(
        source_id=text(where.id) or url,
        media_url=url,
        page_url=response.urljoin(page) if page else response.url,
        owner=text(where.owner) or site.owner,
        licence=text(where.licence) or site.licence,
        attribution=text(where.attribution),
        title=text(where.title),
        tags=tuple(tag.strip() for tag in element.css(where.tags).getall()) if where.tags else (),
        medium=medium or site.medium,
    )
