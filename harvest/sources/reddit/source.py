"""The source plugin for Reddit."""

from collections.abc import Iterator
from typing import Any, ClassVar

from pydantic import field_validator

from lightmeter.errors import LightmeterError
from lightmeter.harvest.sources.base import (
    Argument,
    Checkpoint,
    Cursor,
    DatedQuery,
    InputFile,
    Item,
    Medium,
    Option,
    Source,
    Unreadable,
    convert_record,
    user_agent,
)
from lightmeter.harvest.sources.photo_metadata import as_dict
from lightmeter.harvest.sources.reddit.dumps import read_dump
from lightmeter.harvest.sources.reddit.posts import Post, post_to_items

FILM_SUBREDDITS = frozenset({"analog"})
_DUMP_LINES = 500


class Reddit(Source):
    """Combines all lists that Reddit has of a subreddit, or reads a dump of it."""

    name = "reddit"
    summary = "photographs posted to a subreddit, through Reddit's API or from a dump"
    keys: ClassVar[tuple[str, ...]] = ("REDDIT_CLIENT_ID", "REDDIT_CLIENT_SECRET")

    class Query(DatedQuery):
        """Harvest photographs from Reddit."""

        subreddit: str = Argument("Subreddit, or several joined by +.")
        search: str | None = Option(None, "Search term; stored as the photographs' concept.")
        dump: InputFile | None = Option(
            None, "Read this dump (JSON lines; .zst, .gz, .bz2, .xz) instead of Reddit's API."
        )
        medium: Medium | None = Option(None, "Medium of all photographs (default: film for r/analog).")

        @field_validator("subreddit")
        @classmethod
        def _without_prefix(cls, subreddit: str) -> str:
            return subreddit.strip().strip("/").removeprefix("r/")

    def discover(self, query: Any, cursor: Cursor | None) -> Iterator[Item]:
        """Yield photographs with a checkpoint after each list, or after some lines of a dump."""
        subreddits = frozenset(query.subreddit.lower().split("+"))
        medium: Medium | None = query.medium or ("film" if subreddits <= FILM_SUBREDDITS else None)
        concepts = (query.search,) if query.search else ()
        posts = _dump_posts(query, cursor, subreddits) if query.dump else self._api_posts(query, cursor)
        for number, post in enumerate(posts, start=1):
            if isinstance(post, Checkpoint | Unreadable):
                yield post
            else:
                location = f"Reddit {query.subreddit}, post {as_dict(post).get('id') or number}"
                yield from convert_record(lambda post: post_to_items(post, medium, concepts), post, location)

    def _api_posts(self, query: Any, cursor: Cursor | None) -> Iterator[Post | Checkpoint | Unreadable]:
        """Yield the posts of all lists, with a checkpoint after each list."""
        try:
            from lightmeter.harvest.sources.reddit.client import connect, listings
        except ModuleNotFoundError as error:
            raise LightmeterError("PRAW is not installed; run: pip install 'lightmeter[reddit]'") from error

        reddit = connect(user_agent(self.settings.crawl.contact))
        done = cursor["listings"] if cursor else 0
        for number, listing in enumerate(listings(reddit, query.subreddit, query.search)[done:], start=done + 1):
            yield from listing
            yield Checkpoint({"listings": number})


def _dump_posts(
    query: Any, cursor: Cursor | None, subreddits: frozenset[str]
) -> Iterator[Post | Checkpoint | Unreadable]:
    """Yield the posts of a dump, with a checkpoint after some lines."""
    search = query.search.lower() if query.search else ""
    last = cursor["line"] if cursor else 0
    for line, post in read_dump(query.dump, subreddits, last):
        if isinstance(post, Unreadable) or search in str(post.get("title", "")).lower():
            yield post
        if line - last >= _DUMP_LINES:
            last = line
            yield Checkpoint({"line": line + 1})
