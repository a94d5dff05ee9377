"""Photographs on Wikimedia Commons or another MediaWiki."""

from collections import deque
from collections.abc import Iterator
from functools import partial
from html import unescape
from typing import TYPE_CHECKING, Any

from pydantic import model_validator

from lightmeter.errors import LightmeterError, UsageError
from lightmeter.harvest.addresses import check_web_address, host_of
from lightmeter.harvest.dates import parse_time
from lightmeter.harvest.sources.base import (
    Checkpoint,
    Cursor,
    DatedQuery,
    Item,
    Medium,
    Option,
    Sighting,
    Source,
    convert_record,
    user_agent,
)
from lightmeter.harvest.sources.json_text import parse_json
from lightmeter.harvest.sources.photo_metadata import as_dict, as_list, as_text
from lightmeter.harvest.sources.rate_limit import RetryLater, retry_after, retry_when_busy

if TYPE_CHECKING:
    import httpx

COMMONS = "https://commons.wikimedia.org/w/api.php"
MEDIA_TYPES = frozenset({"image/jpeg", "image/tiff", "image/png", "image/webp"})

_FILE_PARAMS = {
    "prop": "imageinfo",
    "iiprop": "url|mime|user|timestamp|extmetadata|metadata",
    "iiextmetadatafilter": "Artist|Attribution|License|LicenseShortName|LicenseUrl|ObjectName|Categories",
    "iiextmetadatalanguage": "en",
}
_BATCH_SIZE = 50
_MAX_LAG_S = 5
MAX_ANSWER_BYTES = 50_000_000
_BUSY_STATUS = frozenset({429, 500, 502, 503, 504})
_BUSY_CODES = frozenset({"maxlag", "ratelimited", "readonly", "internal_api_error_DBQueryError"})

Page = dict[str, Any]
Batch = tuple[list[Page], str, Cursor]
"""File pages, the category or search term that led to them, and the cursor behind them."""


class Commons(Source):
    """Lists a category with its subcategories, or a search; EXIF, licence and author come with the list."""

    name = "commons"
    summary = "photographs on Wikimedia Commons: a category or a search"

    class Query(DatedQuery):
        """Harvest photographs from Wikimedia Commons."""

        category: str | None = Option(None, "Category, without 'Category:'.")
        depth: int = Option(0, "Depth of subcategories to include.", ge=0)
        search: str | None = Option(None, "Search term, in the syntax of the site.")
        api: str = Option(COMMONS, "URL of another MediaWiki's api.php.")
        medium: Medium | None = Option(None, "Medium of all photographs.")

        @model_validator(mode="after")
        def _single_list(self) -> "Commons.Query":
            if bool(self.category) == bool(self.search):
                raise ValueError("name one of --category, --search")
            check_web_address(self.api)
            return self

    def site(self, query: Any) -> str:
        """Return ``commons``, with the host of another wiki."""
        return self.name if query.api == COMMONS else f"{self.name}:{host_of(query.api)}"

    def discover(self, query: Any, cursor: Cursor | None) -> Iterator[Item]:
        """Yield photographs with a checkpoint after each batch of 50."""
        import httpx

        contact = self.settings.crawl.contact
        if not contact:
            raise UsageError("Wikimedia requires contact information: set contact under [crawl] in lightmeter.toml.")
        headers, timeout_s = {"User-Agent": user_agent(contact)}, self.settings.crawl.timeout_s
        with httpx.Client(headers=headers, timeout=timeout_s) as http:
            wiki = _Wiki(http, query.api)
            batches = _category_batches if query.category else _search_batches
            for pages, concept, batch_cursor in batches(wiki, query, cursor):
                convert = partial(_item, concept=concept, medium=query.medium)
                for page in pages:
                    title = page.get("title") if isinstance(page, dict) else page
                    yield from convert_record(convert, page, f"{query.api}, {concept}, page {title}")
                yield Checkpoint(batch_cursor)


class _Wiki:
    """Client of a MediaWiki API, with retries.

    Args:
        http: HTTP client.
        url: URL of api.php.
    """

    def __init__(self, http: "httpx.Client", url: str) -> None:
        self._http, self._url = http, url

    def files(
        self, params: dict[str, Any], position: dict[str, Any] | None
    ) -> Iterator[tuple[list[Page], dict[str, Any] | None]]:
        """Yield batches of file pages with the position behind each, None behind the last.

        A batch may need several requests, each returning some of the properties, until ``batchcomplete``.
        """
        pages: dict[str, Any] = {}
        while True:
            document = self.query(**params, **_FILE_PARAMS, **(position or {}))
            for page in as_list(as_dict(document.get("query")).get("pages")):
                key = str(page.get("title")) if isinstance(page, dict) else f"{page}"
                pages[key] = pages[key] | page if isinstance(page, dict) and key in pages else page
            position = _next_position(document, position)
            if document.get("batchcomplete") or position is None:
                yield list(pages.values()), position
                pages = {}
            if position is None:
                return

    def subcategories(self, category: str) -> Iterator[str]:
        """Yield the subcategories of a category."""
        params = {"list": "categorymembers", "cmtitle": f"Category:{category}", "cmtype": "subcat", "cmlimit": 500}
        position: dict[str, Any] | None = {}
        while position is not None:
            document = self.query(**params, **position)
            for member in map(as_dict, as_list(as_dict(document.get("query")).get("categorymembers"))):
                title = as_text(member.get("title"))
                if title:
                    yield title.partition(":")[2]
            position = _next_position(document, position)

    def query(self, **params: Any) -> dict[str, Any]:
        """Return the response of ``action=query``.

        Raises:
            LightmeterError: The wiki does not answer, or answers with an error.
        """
        params = {"action": "query", "format": "json", "formatversion": 2, "maxlag": _MAX_LAG_S} | params
        return retry_when_busy(lambda: self._request(params), "The wiki")

    def _request(self, params: dict[str, Any]) -> dict[str, Any]:
        import httpx

        try:
            with self._http.stream("GET", self._url, params=params) as response:
                content = self._content(response)
        except httpx.RequestError as error:
            raise RetryLater(type(error).__name__) from error
        pause_s = retry_after(response.headers.get("Retry-After"))
        if response.status_code in _BUSY_STATUS:
            raise RetryLater(f"HTTP {response.status_code}", pause_s)
        if response.has_redirect_location:  # which could lead to an address inside
            raise LightmeterError(f"{self._url} redirects to {response.headers['Location']}; use that address (--api)")
        if not response.is_success:
            raise LightmeterError(f"{self._url} answered HTTP {response.status_code}")
        try:
            document = parse_json(content)
        except ValueError as error:
            raise RetryLater("a response that is not JSON") from error
        if not isinstance(document, dict):
            raise RetryLater("a response that is not a JSON object")
        problem = as_dict(document.get("error"))
        if problem.get("code") in _BUSY_CODES:
            raise RetryLater(problem["code"], pause_s)
        if problem:
            raise LightmeterError(f"The wiki refused: {problem.get('info', problem)}")
        return document

    def _content(self, response: "httpx.Response") -> bytes:
        """Return the body of a response, which may be longer than it was sent.

        Raises:
            LightmeterError: It is too long.
        """
        content = bytearray()
        for part in response.iter_bytes():
            content += part
            if len(content) > MAX_ANSWER_BYTES:
                raise LightmeterError(f"{self._url} answered with more than {MAX_ANSWER_BYTES:,} bytes")
        return bytes(content)


def _next_position(document: dict[str, Any], position: dict[str, Any] | None) -> dict[str, Any] | None:
    """Return the position behind an answer; None behind the last one.

    Raises:
        LightmeterError: The wiki repeats the position, so that the list would never end.
    """
    following: dict[str, Any] | None = as_dict(document.get("continue")) or None
    if following is not None and following == position:
        raise LightmeterError("The wiki repeats a page of the list; ask its operators")
    return following


def _search_batches(wiki: _Wiki, query: Any, cursor: Cursor | None) -> Iterator[Batch]:
    if cursor and cursor["position"] is None:
        return
    params = {"generator": "search", "gsrsearch": query.search, "gsrnamespace": 6, "gsrlimit": _BATCH_SIZE}
    for pages, position in wiki.files(params, cursor["position"] if cursor else None):
        yield pages, query.search, {"position": position}


def _category_batches(wiki: _Wiki, query: Any, cursor: Cursor | None) -> Iterator[Batch]:
    """Yield the files of a category and its subcategories, level by level, each category once."""
    queue: deque[tuple[str, int]] = deque([(query.category, 0)])
    visited, position = {query.category}, None
    if cursor:
        queue, visited = deque((name, level) for name, level in cursor["todo"]), set(cursor["visited"])
        position = cursor["position"]
    while queue:
        category, level = queue[0]
        if position is None and level < query.depth:
            new = [name for name in wiki.subcategories(category) if name not in visited]
            visited.update(new)
            queue.extend((name, level + 1) for name in new)
        params = {"generator": "categorymembers", "gcmtitle": f"Category:{category}", "gcmtype": "file"}
        for pages, next_position in wiki.files(params | {"gcmlimit": _BATCH_SIZE}, position):
            if next_position is None:
                queue.popleft()
            todo = [list(entry) for entry in queue]
            yield pages, category, {"todo": todo, "visited": sorted(visited), "position": next_position}
        position = None


def _item(page: Page, concept: str, medium: Medium | None) -> Sighting | None:
    """Return the photograph of a file page; None for drawings, sounds and missing files."""
    info = next(map(as_dict, as_list(page.get("imageinfo"))), {})
    if info.get("mime") not in MEDIA_TYPES:
        return None
    extended = as_dict(info.get("extmetadata"))
    fields = {name: _plain_text(as_dict(entry).get("value")) for name, entry in extended.items()}
    owner = fields.get("Artist") or as_text(info.get("user"))
    licence = fields.get("LicenseUrl") or fields.get("License") or fields.get("LicenseShortName")
    credit = (fields.get("Attribution") or owner, fields.get("LicenseShortName") or licence, "via Wikimedia Commons")
    title = (as_text(page.get("title")) or "").partition(":")[2]
    page_id = as_text(page.get("pageid"))
    if page_id is None:
        raise ValueError("the page has no pageid")
    return Sighting(
        source_id=page_id,
        media_url=as_text(info.get("url")),
        page_url=as_text(info.get("descriptionurl")),
        file=title or None,
        owner=owner,
        licence=licence,
        attribution=", ".join(part for part in credit if part),
        title=fields.get("ObjectName") or title or None,
        tags=tuple(tag for tag in (fields.get("Categories") or "").split("|") if tag),
        medium=medium,
        concepts=(concept,),
        published_at=parse_time(info.get("timestamp")),
        exif=_exif(info.get("metadata")) or None,
        metadata={"uploader": info.get("user"), "mime": info.get("mime")},
    )


def _exif(metadata: Any) -> dict[str, Any]:
    """Return tags by name; the first value of a list, for example of several ISO speeds."""
    tags: dict[str, Any] = {}
    for entry in map(as_dict, as_list(metadata)):
        name, value = as_text(entry.get("name")), entry.get("value")
        while isinstance(value, list):
            value = value[0].get("value") if value and isinstance(value[0], dict) else None
        if name and value is not None:
            tags[name] = value
    return tags


def _plain_text(html: Any) -> str:
    from w3lib.html import remove_tags

    return " ".join(unescape(remove_tags(str(html or ""))).split())
