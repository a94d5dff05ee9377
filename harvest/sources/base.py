"""The contract of source plugins: a class that lists the photographs that exist at a source.

The plugin lists photographs; the engine downloads, retries, limits the request rate, stores, reads EXIF, applies
filters, writes the catalogue and reports progress.
"""

import logging
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, Self, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from lightmeter import __version__
from lightmeter.errors import LightmeterError
from lightmeter.harvest.dates import parse_period, parse_time

if TYPE_CHECKING:
    from scrapy import Request
    from scrapy.http import Response

    from lightmeter.harvest.sources.rate_limit import RateLimit, RateLimiter
    from lightmeter.settings import Settings

logger = logging.getLogger(__name__)

Medium = Literal["film", "digital"]
"""How a photograph was taken."""

Cursor = dict[str, Any]
"""A position in a source's list, as JSON; its keys are the source's own."""

_FORMS: dict[type[Exception], str] = {  # of records that cannot be converted
    KeyError: "a field is missing",
    IndexError: "a list is too short",
    AttributeError: "a value has another type",
    TypeError: "a value has another type",
    OverflowError: "a number is too large",
    RecursionError: "its values are nested too deep",
    ValueError: "a value is invalid",
}


@dataclass(frozen=True, slots=True)
class SourceRegion:
    """A box that a source provides for a photograph, in pixels of the file.

    Attributes:
        kind: What the box contains, for example ``face``.
        x: Left edge.
        y: Top edge.
        width: Width.
        height: Height.
        details: Further data of the source, for example landmarks.
    """

    kind: str
    x: int
    y: int
    width: int
    height: int
    details: dict[str, Any] | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Sighting:
    """A photograph that exists at a source.

    Attributes:
        source_id: Identifier that never changes; a photograph with a known identifier is not downloaded again.
        media_url: URL of the original file: http, https, file, or the source's own scheme.
        page_url: URL of the page that shows the photograph.
        file: File name at the source (default: last part of ``media_url``).
        file_version: Text that changes when the bytes of the file change, for example size and modification time; a
            known photograph with another version is downloaded again.
        owner: Photographer or uploader, preferably as an identifier that does not change.
        licence: Licence as the source names it; the engine converts it to an SPDX identifier.
        attribution: Credit line that the licence requires.
        title: Title.
        tags: Keywords.
        medium: ``film`` or ``digital``, if the source knows it.
        concepts: Search terms or class folders that led to the photograph, from widest to narrowest.
        gone: Why the source no longer shows the photograph; nothing is downloaded then.
        published_at: Time of publication, with time zone.
        exif: EXIF tags that the source itself provides, with the source's tag names.
        exif_origin: Where ``exif`` comes from.
        regions: Boxes that the source provides.
        metadata: Further data of the source, stored unchanged.
    """

    source_id: str
    media_url: str | None = None
    page_url: str | None = None
    file: str | None = None
    file_version: str | None = None
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
    """A position from which an interrupted run resumes; items yielded before it are not listed again.

    Attributes:
        cursor: The position, passed to `Source.discover` when the run resumes.
    """

    cursor: Cursor


@dataclass(frozen=True, slots=True)
class Unreadable:
    """Something at a source that cannot be read: a folder without permission, a page, a broken record of a list.

    The run counts it, names its location and continues.

    Attributes:
        location: Where it is, for example a path, a URL, or a file with a line number.
        reason: Why it cannot be read.
    """

    location: str
    reason: str


Item = Sighting | Checkpoint | Unreadable
"""What `Source.discover` yields."""

Record = TypeVar("Record")


def convert_record(
    convert: Callable[[Record], Sighting | Unreadable | Iterable[Sighting | Unreadable] | None],
    record: Record,
    location: str,
) -> Iterator[Sighting | Unreadable]:
    """Yield the photographs of one record of a service or list; a record that cannot be converted is `Unreadable`.

    Args:
        convert: Returns the photographs of a record; None if it has none.
        record: The record.
        location: Where the record is, for example ``page 3, photograph 17``.

    Raises:
        LightmeterError: The service itself refuses or does not answer.

    Example:
        >>> def convert(record):
        ...     return Sighting(source_id=record["id"], media_url=record["url"])
        >>> records = [{"id": "1", "url": "https://example.org/1.jpg"}, {"id": "2"}]
        >>> [type(item).__name__ for record in records for item in convert_record(convert, record, "list.json")]
        ['Sighting', 'Unreadable']
    """
    try:
        result = convert(record)
        if isinstance(result, Sighting | Unreadable):
            yield result
        elif result is not None:
            yield from result
    except LightmeterError:
        raise
    except Exception as error:
        logger.debug("%s cannot be converted", location, exc_info=True)
        kinds = ((kind, detail) for kind, detail in _FORMS.items() if isinstance(error, kind))
        yield Unreadable(location, f"the record has another form: {next(kinds, (None, 'it cannot be converted'))[1]}")


class SourceQuery(BaseModel):
    """What to harvest from a source. Each field becomes an option of ``lightmeter harvest run SOURCE``."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class DatedQuery(SourceQuery):
    """A query of a source that knows when photographs were published; others are left out of what a run lists."""

    since: str | None = Field(
        None, description="Only photographs published in or after this year, month or day, such as 2019-05."
    )
    until: str | None = Field(None, description="Only photographs published in or before this year, month or day.")

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        start, end = self.period
        if start and end and start >= end:
            raise ValueError(f"--since {self.since} is later than --until {self.until}")
        return self

    @property
    def period(self) -> tuple[datetime | None, datetime | None]:
        """The first moment of the period, and the first one after it; None where it is open."""
        start = parse_period(self.since)[0] if self.since else None
        return start, parse_period(self.until)[1] if self.until else None

    def includes(self, published_at: object) -> bool:
        """Return whether a photograph is in the period; one without a date is in none."""
        start, end = self.period
        if start is None and end is None:
            return True
        time = parse_time(published_at)
        return time is not None and (start is None or time >= start) and (end is None or time < end)


def Argument(description: str) -> Any:  # noqa: N802 - reads like the field it declares
    """Declare a query field that is a positional argument.

    Args:
        description: Help text.
    """
    return Field(description=description, json_schema_extra={"argument": True})


def Option(default: Any, description: str, **constraints: Any) -> Any:  # noqa: N802
    """Declare a query field that is an option; ``licence_ids`` becomes ``--licence-ids``.

    Args:
        default: Default value.
        description: Help text.
        **constraints: Constraints of `pydantic.Field`, for example ``ge=1``.
    """
    return Field(default, description=description, **constraints)


def _absolute(path: Path) -> Path:
    """Return an absolute path without ``..``, so that a photograph has one identifier wherever it is named from."""
    return path.resolve() if ".." in path.parts else path.absolute()


def _existing_file(path: Path) -> Path:
    if not path.is_file():
        raise ValueError(f"{path} is not a file")
    return _absolute(path)


def _existing_folder(path: Path) -> Path:
    if not path.is_dir():
        raise ValueError(f"{path} is not a folder")
    return _absolute(path)


AbsolutePath = Annotated[Path, AfterValidator(_absolute)]
"""Type of a query field for a path; its value is absolute, so that a run can be resumed from any folder."""

InputFile = Annotated[Path, AfterValidator(_existing_file)]
"""Type of a query field for an existing file; its value is absolute."""

InputFolder = Annotated[Path, AfterValidator(_existing_folder)]
"""Type of a query field for an existing folder; its value is absolute."""


class Source:
    """Base class of source plugins, which are registered in the entry-point group ``lightmeter.sources``.

    Args:
        settings: Settings of the project.

    Attributes:
        name: Name on the command line; equal to the name of the entry point.
        summary: One line for ``lightmeter harvest sources``.
        keys: Environment variables with the API keys that the source needs.
        scheme: URL scheme that the source reads itself with `read`; None for sources on the network.
        schemes: Schemes allowed in media URLs. A source that passes on URLs of third parties must not allow ``file``.
        rate_limit: Rate limit that API calls and downloads share; None for no limit besides the crawl settings.
        rate_limiter: Limiter of ``rate_limit``, set by the engine; call its ``wait()`` before each API call.
        Query: Model of the query.

    Example:
        >>> class Numbers(Source):
        ...     name = "numbers"
        ...     summary = "numbered photographs of example.org"
        ...
        ...     class Query(SourceQuery):
        ...         count: int = Option(3, "Number of photographs.", ge=1)
        ...
        ...     def discover(self, query, cursor):
        ...         for number in range(cursor["next"] if cursor else 0, query.count):
        ...             yield Sighting(source_id=str(number), media_url=f"https://example.org/{number}.jpg")
        ...             yield Checkpoint({"next": number + 1})
        >>> from lightmeter.settings import Settings
        >>> source = Numbers(Settings())
        >>> [item.source_id for item in source.discover(source.Query(count=2), None) if isinstance(item, Sighting)]
        ['0', '1']
    """

    name: ClassVar[str]
    summary: ClassVar[str]
    keys: ClassVar[tuple[str, ...]] = ()
    scheme: ClassVar[str | None] = None
    schemes: ClassVar[frozenset[str]] = frozenset({"http", "https"})
    rate_limit: ClassVar["RateLimit | None"] = None
    Query: ClassVar[type[SourceQuery]] = SourceQuery

    def __init__(self, settings: "Settings") -> None:
        self.settings = settings
        self.rate_limiter: RateLimiter | None = None

    def site(self, query: Any) -> str:
        """Return the name of the source in the catalogue.

        Override it in a source for several sites, for example to return ``website:museum``; photographs with the same
        ``source_id`` at different sites are different photographs.
        """
        return self.name

    def total(self, query: Any) -> int | None:
        """Return the number of photographs if it is known beforehand, for the progress bar."""
        return None

    def discover(self, query: Any, cursor: Cursor | None) -> Iterator[Item] | AsyncIterator[Item]:
        """Yield the photographs that exist, checkpoints, and what cannot be read.

        The method may block: the engine runs it in a thread. It may also be an async generator. An exception ends the
        discovery; what was yielded before is kept. `convert_records` guards the conversion of single records.

        Args:
            query: Instance of ``Query``.
            cursor: Cursor of the last checkpoint when a run is resumed; None for a new run.

        Raises:
            lightmeter.errors.LightmeterError: The source cannot be read; the run ends as failed with this message.
        """
        raise NotImplementedError

    @classmethod
    def read(cls, media_url: str) -> bytes:
        """Return the bytes behind a URL of the source's own scheme; called in a worker process."""
        raise NotImplementedError


class SpiderSource(Source):
    """Base class of sources that are websites: the engine crawls the pages, the plugin parses them."""

    def start(self, query: Any) -> Iterator["Request"]:
        """Yield the first requests."""
        raise NotImplementedError

    def parse(self, response: "Response", query: Any) -> Iterator["Sighting | Unreadable | Request"]:
        """Yield the photographs on a page, requests for further pages, and what cannot be read on it."""
        raise NotImplementedError


def user_agent(contact: str) -> str:
    """Return the User-Agent header of all requests.

    Args:
        contact: Contact address from the project's settings; may be empty.
    """
    return f"lightmeter/{__version__}" + (f" (+{contact})" if contact else "")
