"""Photographs on Wikimedia Commons, or on any other MediaWiki."""

from collections import deque
from collections.abc import Iterator
from datetime import datetime
from html import unescape
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from pydantic import Field, model_validator

from lightmeter.errors import LightmeterError, UsageError
from lightmeter.harvest import licences
from lightmeter.harvest.sources.base import Checkpoint, Medium, Option, PhotoItem, Source, SourceQuery
from lightmeter.harvest.sources.rate_limit import RetryLater, retry_after, retry_when_busy

if TYPE_CHECKING:
    import httpx

COMMONS = "https://commons.wikimedia.org/w/api.php"
PHOTOGRAPHS = frozenset({"image/jpeg", "image/tiff", "image/png", "image/webp"})

_FILE_WORDS = {
    "prop": "imageinfo",
    "iiprop": "url|mime|user|timestamp|extmetadata|metadata",
    "iiextmetadatafilter": "Artist|Attribution|License|LicenseShortName|LicenseUrl|ObjectName|Categories",
    "iiextmetadatalanguage": "en",
}
_AT_A_TIME = 50
_LAG_S = 5
_BUSY_STATUS = frozenset({429, 500, 502, 503, 504})
_BUSY_CODES = frozenset({"maxlag", "ratelimited", "readonly", "internal_api_error_DBQueryError"})

Page = dict[str, Any]


class Commons(Source):
    """Lists a category, with those below it, or a search; EXIF, licence and author come with the list."""

    name = "commons"
    summary = "photographs on Wikimedia Commons: a category or a search"

    class Query(SourceQuery):
        """What is listed."""

        category: str | None = Option(None, "Category, without 'Category:'.")
        depth: int = Field(0, ge=0, description="How many levels of categories below it are read too.")
        search: str | None = Option(None, "Words to search for, as on the site.")
        api: str = Option(COMMONS, "Address of another MediaWiki's api.php.")
        medium: Medium | None = Option(None, "How all of them were taken: film or digital.")

        @model_validator(mode="after")
        def _one_thing(self) -> "Commons.Query":
            if bool(self.category) == bool(self.search):
                raise ValueError("name one of --category, --search")
            if urlsplit(self.api).scheme not in {"http", "https"}:
                raise ValueError(f"{self.api} is no web address")
            return self

    def site(self, query: Any) -> str:
        """Return ``commons``, with the host of another wiki."""
        return self.name if query.api == COMMONS else f"{self.name}:{urlsplit(query.api).netloc}"

    def discover(self, query: Any, cursor: dict[str, Any] | None) -> Iterator[PhotoItem | Checkpoint]:
        """Yield photographs fifty at a time, with a checkpoint behind each fifty."""
        import httpx

        from lightmeter.harvest.sources.base import user_agent

        contact = self.settings.crawl.contact
        if not contact:
            raise UsageError(
                "Wikimedia answers only those who can be reached: set contact under [crawl] in lightmeter.toml."
            )
        agent = {"User-Agent": user_agent(contact)}
        with httpx.Client(headers=agent, timeout=self.settings.crawl.timeout_s, follow_redirects=True) as client:
            wiki = _Wiki(client, query.api)
            listed = _categories(wiki, query, cursor) if query.category else _search(wiki, query, cursor)
            for pages, concept, place in listed:
                for page in pages:
                    yield from _sighting(page, concept, query.medium)
                yield Checkpoint(place)


class _Wiki:
    """A MediaWiki's API, asked with patience.

    Args:
        client: asks.
        address: of its api.php.
    """

    def __init__(self, client: "httpx.Client", address: str) -> None:
        self._client, self._address = client, address

    def files(
        self, words: dict[str, Any], place: dict[str, Any] | None
    ) -> Iterator[tuple[list[Page], dict[str, Any] | None]]:
        """Yield batches of files, and where to go on behind each; None behind the last.

        A batch may come in several answers, each with a part of what was asked for (``batchcomplete`` ends it).
        """
        batch: dict[str, Page] = {}
        while True:
            answer = self.ask(**words, **_FILE_WORDS, **(place or {}))
            for page in answer.get("query", {}).get("pages", []):
                batch[page["title"]] = batch.get(page["title"], {}) | page
            place = answer.get("continue")
            if answer.get("batchcomplete") or place is None:
                yield list(batch.values()), place
                batch = {}
            if place is None:
                return

    def below(self, category: str) -> Iterator[str]:
        """Yield the categories in a category."""
        place: dict[str, Any] | None = {}
        while place is not None:
            words = {"list": "categorymembers", "cmtitle": f"Category:{category}", "cmtype": "subcat", "cmlimit": 500}
            answer = self.ask(**words, **place)
            for member in answer.get("query", {}).get("categorymembers", []):
                yield member["title"].partition(":")[2]
            place = answer.get("continue")

    def ask(self, **words: Any) -> dict[str, Any]:
        """Return an answer of ``action=query``.

        Raises:
            LightmeterError: if there is none, or it is an error.
        """
        whole = {"action": "query", "format": "json", "formatversion": 2, "maxlag": _LAG_S} | words
        return retry_when_busy(lambda: self._once(whole), "The wiki")

    def _once(self, words: dict[str, Any]) -> dict[str, Any]:
        import httpx

        try:
            response = self._client.get(self._address, params=words)
        except httpx.TransportError as error:
            raise RetryLater(type(error).__name__) from error
        pause = retry_after(response.headers.get("Retry-After"))
        if response.status_code in _BUSY_STATUS:
            raise RetryLater(f"HTTP {response.status_code}", pause)
        if response.is_error:
            raise LightmeterError(f"{self._address} answered HTTP {response.status_code}")
        try:
            answer: dict[str, Any] = response.json()
        except ValueError as error:
            raise RetryLater("an answer that is not JSON") from error
        problem = answer.get("error")
        if problem and problem.get("code") in _BUSY_CODES:
            raise RetryLater(problem["code"], pause)
        if problem:
            raise LightmeterError(f"The wiki refused: {problem.get('info', problem)}")
        return answer


def _search(wiki: _Wiki, query: Any, cursor: dict[str, Any] | None) -> Iterator[tuple[list[Page], str, dict[str, Any]]]:
    words = {"generator": "search", "gsrsearch": query.search, "gsrnamespace": 6, "gsrlimit": _AT_A_TIME}
    if cursor and cursor["place"] is None:
        return
    for pages, place in wiki.files(words, cursor["place"] if cursor else None):
        yield pages, query.search, {"place": place}


def _categories(
    wiki: _Wiki, query: Any, cursor: dict[str, Any] | None
) -> Iterator[tuple[list[Page], str, dict[str, Any]]]:
    """Yield the files of a category and of those below it, level by level; none is read twice."""
    todo: deque[tuple[str, int]] = deque([(query.category, 0)])
    seen, place = {query.category}, None
    if cursor:
        todo, seen = deque((name, level) for name, level in cursor["todo"]), set(cursor["seen"])
        place = cursor["place"]
    while todo:
        name, level = todo[0]
        if place is None and level < query.depth:
            fresh = [below for below in wiki.below(name) if below not in seen]
            seen.update(fresh)
            todo.extend((below, level + 1) for below in fresh)
        words = {"generator": "categorymembers", "gcmtitle": f"Category:{name}", "gcmtype": "file"}
        for pages, further in wiki.files(words | {"gcmlimit": _AT_A_TIME}, place):
            if further is None:
                todo.popleft()
            yield pages, name, {"todo": [list(one) for one in todo], "seen": sorted(seen), "place": further}
        place = None


def _sighting(page: Page, concept: str, medium: Medium | None) -> Iterator[PhotoItem]:
    """Yield the photograph that a file page shows; none for a drawing, a sound or a missing file."""
    told = (page.get("imageinfo") or [{}])[0]
    if told.get("mime") not in PHOTOGRAPHS:
        return
    about = {name: _text(entry.get("value")) for name, entry in (told.get("extmetadata") or {}).items()}
    owner = about.get("Artist") or told.get("user")
    licence = licences.normalise(about.get("LicenseUrl") or about.get("License") or about.get("LicenseShortName"))
    title = page["title"].partition(":")[2]
    credit = about.get("Attribution") or owner
    named = about.get("LicenseShortName") or licence
    yield PhotoItem(
        source_id=str(page["pageid"]),
        media_url=told["url"],
        page_url=told.get("descriptionurl"),
        file=title,
        owner=owner,
        licence=licence,
        attribution=", ".join(part for part in (credit, named, "via Wikimedia Commons") if part),
        title=about.get("ObjectName") or title,
        tags=tuple(tag for tag in (about.get("Categories") or "").split("|") if tag),
        medium=medium,
        concepts=(concept,),
        published_at=datetime.fromisoformat(told["timestamp"]) if told.get("timestamp") else None,
        exif=_exif(told.get("metadata")) or None,
        metadata={"uploader": told.get("user"), "mime": told.get("mime")},
    )


def _exif(metadata: Any) -> dict[str, Any]:
    """Return tags by name; of a list, its first value (several ISO speeds, say)."""
    tags: dict[str, Any] = {}
    for entry in metadata or []:
        value = entry.get("value")
        while isinstance(value, list):
            value = value[0].get("value") if value and isinstance(value[0], dict) else None
        if value is not None:
            tags[str(entry.get("name"))] = value
    return tags


def _text(html: Any) -> str:
    """Return what a piece of HTML says."""
    from w3lib.html import remove_tags

    return " ".join(unescape(remove_tags(str(html or ""))).split())
