"""What a source plugin is: a class that says which photographs exist.

The plugin discovers; fetching, retries, politeness, storage, EXIF, filters, SQL and progress belong to the engine.
"""

from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field

from lightmeter import __version__

if TYPE_CHECKING:
    from scrapy import Request
    from scrapy.http import Response

    from lightmeter.harvest.sources.rate_limit import RateLimit, RateLimiter
    from lightmeter.settings import Settings

Medium = Literal["film", "digital"]


@dataclass(frozen=True, slots=True)
class SourceRegion:
    """A box that a source says is in a photograph, in its stored pixels.

    Attributes:
        kind: ``face``, say.
        details: whatever else the source tells of it: landmarks, say.
    """

    kind: str
    x: int
    y: int
    width: int
    height: int
    details: dict[str, Any] | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class PhotoItem:
    """A photograph that exists at a source.

    Attributes:
        source_id: stable for as long as the source keeps the photograph; the same id is never fetched twice.
        media_url: where the original bytes are: http(s), file, or a scheme that the source reads itself.
        file: the name it had at its source; the last part of ``media_url`` if not given.
        owner: who made or posted it.
        licence: an SPDX identifier where there is one (``CC-BY-4.0``), else the source's own word.
        attribution: the line that a user of the photograph must print.
        concepts: what was searched for, or a class folder's name.
        gone: why the source does not show it any more, if it says so; then nothing is fetched.
        exif: tags that the source itself tells, in its own spelling.
        exif_origin: where those tags come from.
        regions: boxes in it that the source tells.
        metadata: whatever else the source tells; kept as it is.
    """

    source_id: str
    media_url: str | None = None
    page_url: str | None = None
    file: str | None = None
    owner: str | None = None
    licence: str | None = None
    attribution: str | None = None
    title: str | None = None
    tags: tuple[str, ...] = ()
    medium: Medium | None = None
    concepts: tuple[str, ...] = ()
    gone: str | None = None
    published_at: datetime | None = None
    exif: dict[str, Any] | None = None
    exif_origin: Literal["api", "sidecar"] = "api"
    regions: tuple[SourceRegion, ...] = ()
    metadata: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """Where a stopped run goes on: everything yielded before it need not be discovered again."""

    cursor: dict[str, Any]


class SourceQuery(BaseModel):
    """What a source is asked. Each field becomes an option of ``lightmeter harvest run SOURCE``."""

    model_config = ConfigDict(extra="forbid", frozen=True)


def user_agent(contact: str) -> str:
    """Return the User-Agent header of all requests, with the contact address from the settings."""
    return f"lightmeter/{__version__}" + (f" (+{contact})" if contact else "")


def Argument(description: str) -> Any:  # noqa: N802 - reads like the field it declares
    """Declare a field that is given without an option name."""
    return Field(description=description, json_schema_extra={"argument": True})


def Option(default: Any, description: str) -> Any:  # noqa: N802
    """Declare a field that becomes ``--name``."""
    return Field(default=default, description=description)


class Source:
    """Base of all source plugins.

    Attributes:
        name: what people call it by; the entry point has the same name.
        summary: one line for ``lightmeter harvest sources``.
        keys: environment variables that must hold this source's keys.
        scheme: a URL scheme of its own; its bytes come from `read` instead of the network.
        schemes: what its media URLs may begin with. A source that tells what strangers wrote must not name ``file``.
        service: whose budget of requests it lives on, if there is one.
        budget: that budget, set by the engine; call its `wait` before each request of an API.
    """

    name: ClassVar[str]
    summary: ClassVar[str]
    keys: ClassVar[tuple[str, ...]] = ()
    scheme: ClassVar[str | None] = None
    schemes: ClassVar[frozenset[str]] = frozenset({"http", "https"})
    service: ClassVar["RateLimit | None"] = None
    Query: ClassVar[type[SourceQuery]] = SourceQuery

    def __init__(self, settings: "Settings") -> None:
        self.settings = settings
        self.budget: RateLimiter | None = None

    def site(self, query: Any) -> str:
        """Return the name under which sightings stand in the catalogue; a source of many sites adds which one."""
        return self.name

    def total(self, query: Any) -> int | None:
        """Return how many photographs there will be, where that is known before; for the progress bar."""
        return None

    def discover(
        self, query: Any, cursor: dict[str, Any] | None
    ) -> Iterator[PhotoItem | Checkpoint] | AsyncIterator[PhotoItem | Checkpoint]:
        """Yield what exists, from a checkpoint on if one is given. It may block: the engine runs it in a thread.

        Raises:
            lightmeter.errors.LightmeterError: if the source cannot be asked; the run ends as failed, with the reason.
        """
        raise NotImplementedError

    @classmethod
    def read(cls, media_url: str) -> bytes:
        """Return the bytes behind a URL of this source's own scheme; called in a worker process."""
        raise NotImplementedError


class SpiderSource(Source):
    """Base of sources that are web sites: the engine crawls pages, the plugin says what is on them."""

    def start(self, query: Any) -> Iterator["Request"]:
        """Yield the requests to begin with."""
        raise NotImplementedError

    def parse(self, response: "Response", query: Any) -> Iterator["PhotoItem | Request"]:
        """Yield the photographs on a page, and the requests for pages to go on to."""
        raise NotImplementedError
