"""The source plugin."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

from pydantic import field_validator

from lightmeter.errors import LightmeterError
from lightmeter.harvest.sources.base import Argument, Checkpoint, Medium, Option, PhotoItem, Source, SourceQuery
from lightmeter.harvest.sources.reddit.dumps import read_dump
from lightmeter.harvest.sources.reddit.posts import sightings

FILM_SUBREDDITS = frozenset({"analog"})
_LINES_BETWEEN_CHECKPOINTS = 500


class Reddit(Source):
    """Unites all that Reddit lists of a subreddit, or reads a dump of it."""

    name = "reddit"
    summary = "photographs posted to a subreddit, through Reddit's API or from a dump"
    keys: ClassVar[tuple[str, ...]] = ("REDDIT_CLIENT_ID", "REDDIT_CLIENT_SECRET")

    class Query(SourceQuery):
        """Which posts."""

        subreddit: str = Argument("Subreddit, or several with + between.")
        search: str | None = Option(None, "Words to search for in it; they become the photographs' concept.")
        dump: Path | None = Option(None, "Read this dump (JSON lines; .zst, .gz, .bz2, .xz) instead of asking Reddit.")
        medium: Medium | None = Option(None, "How all of them were taken; film, if not given, in r/analog.")

        @field_validator("dump")
        @classmethod
        def _is_file(cls, dump: Path | None) -> Path | None:
            if dump is not None and not dump.is_file():
                raise ValueError(f"{dump} is not a file")
            return dump.absolute() if dump else None

        @field_validator("subreddit")
        @classmethod
        def _plain(cls, subreddit: str) -> str:
            return subreddit.strip().strip("/").removeprefix("r/")

    def discover(self, query: Any, cursor: dict[str, Any] | None) -> Iterator[PhotoItem | Checkpoint]:
        """Yield photographs, with a checkpoint behind each listing, or every few lines of a dump."""
        names = frozenset(query.subreddit.lower().split("+"))
        medium: Medium | None = query.medium or ("film" if names <= FILM_SUBREDDITS else None)
        concepts = (query.search,) if query.search else ()
        for post, place in self._dumped(query, cursor, names) if query.dump else self._listed(query, cursor):
            if post is not None:
                yield from sightings(post, medium, concepts)
            if place is not None:
                yield Checkpoint(place)

    def _listed(
        self, query: Any, cursor: dict[str, Any] | None
    ) -> Iterator[tuple[dict[str, Any] | None, dict[str, Any] | None]]:
        """Yield the posts of all listings; between two of them, where to go on."""
        try:
            from lightmeter.harvest.sources.reddit.client import connect, listings, read
        except ModuleNotFoundError as error:
            raise LightmeterError("PRAW is not installed; run: pip install 'lightmeter[reddit]'") from error
        from lightmeter.harvest.sources.base import user_agent

        everything = listings(connect(user_agent(self.settings.crawl.contact)), query.subreddit, query.search)
        done = cursor["listings"] if cursor else 0
        for number, (_, listing) in enumerate(everything[done:], start=done + 1):
            for post in read(listing):
                yield post, None
            yield None, {"listings": number}

    def _dumped(
        self, query: Any, cursor: dict[str, Any] | None, names: frozenset[str]
    ) -> Iterator[tuple[dict[str, Any] | None, dict[str, Any] | None]]:
        """Yield a dump's posts; now and then where to go on."""
        wanted = query.search.lower() if query.search else ""
        last = cursor["line"] if cursor else 0
        for line, post in read_dump(query.dump, names, last):
            if wanted in str(post.get("title", "")).lower():
                yield post, None
            if line - last >= _LINES_BETWEEN_CHECKPOINTS:
                last = line
                yield None, {"line": line + 1}
