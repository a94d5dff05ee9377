"""Client of the Reddit API through PRAW."""

import os
from collections.abc import Iterator
from functools import partial
from typing import Any
from urllib.parse import quote

import praw
import prawcore
from prawcore.exceptions import (
    Forbidden,
    InvalidToken,
    NotFound,
    OAuthException,
    PrawcoreException,
    Redirect,
    RequestException,
    ResponseException,
    ServerError,
    TooManyRequests,
)

from lightmeter.errors import LightmeterError, UsageError
from lightmeter.harvest.sources.json_text import parse_json
from lightmeter.harvest.sources.photo_metadata import as_dict, as_list, as_text
from lightmeter.harvest.sources.rate_limit import RetryLater, retry_when_busy

KEYS = ("REDDIT_CLIENT_ID", "REDDIT_CLIENT_SECRET")
URL_VARIABLE = "REDDIT_URL"
"""Environment variable that replaces the URLs of the API, for example with that of a proxy."""

TIME_FILTERS = ("hour", "day", "week", "month", "year", "all")
SEARCH_ORDERS = ("new", "relevance", "top", "comments")
_UNAUTHORISED = 401
_PAGE_SIZE = 100


def connect(user_agent: str) -> praw.Reddit:
    """Return a read-only client.

    Raises:
        UsageError: The keys are missing.
    """
    key, secret = (os.environ.get(name, "") for name in KEYS)
    if not key or not secret:
        raise UsageError(
            f"Reddit needs an API key: set {' and '.join(KEYS)}, or read a dump with --dump "
            "(how to get one: docs/sources/reddit.md)."
        )
    url = os.environ.get(URL_VARIABLE)
    urls: dict[str, Any] = {"reddit_url": url, "oauth_url": url} if url else {}
    return praw.Reddit(
        client_id=key,
        client_secret=secret,
        user_agent=user_agent,
        check_for_updates=False,
        requestor_class=_Requestor,
        **urls,
    )


class _Requestor(prawcore.Requestor):
    """Sends requests whose answers may be nested more deeply than Python's parser allows."""

    def request(self, *args: Any, **options: Any) -> Any:
        """Return the answer of a request."""
        response = super().request(*args, **options)
        response.json = lambda **_: parse_json(response.content)  # type: ignore[method-assign]
        return response


def listings(reddit: praw.Reddit, name: str, search: str | None) -> list[Iterator[Any]]:
    """Return all lists of a subreddit's posts, as JSON; each contains at most a thousand posts.

    Posts stay JSON, because PRAW's objects refuse a whole page for one post of another form.

    Args:
        reddit: Client of the API.
        name: Name of the subreddit, or several with ``+`` between them.
        search: Search term; None for all posts.

    Raises:
        LightmeterError: Reddit does not answer, or refuses; raised while a list is read.
    """
    path = f"r/{quote(name, safe='+')}"
    if search:
        return [_posts(reddit, f"{path}/search/", q=search, sort=order, restrict_sr="true") for order in SEARCH_ORDERS]
    newest = [_posts(reddit, f"{path}/{order}/") for order in ("new", "hot", "rising")]
    return newest + [_posts(reddit, f"{path}/top/", t=time_filter) for time_filter in TIME_FILTERS]


def _posts(reddit: praw.Reddit, path: str, **params: str) -> Iterator[Any]:
    """Yield the posts of a list, page by page."""
    after: str | None = None
    while True:
        query: dict[str, str | int] = {**params, "limit": _PAGE_SIZE, **({"after": after} if after else {})}
        document = retry_when_busy(partial(_request, reddit, path, query), "Reddit")
        page = as_dict(as_dict(document).get("data"))
        for child in as_list(page.get("children")):
            yield child.get("data") if isinstance(child, dict) else child
        following = as_text(page.get("after"))
        if following is None or following == after:
            return
        after = following


def _request(reddit: praw.Reddit, path: str, params: dict[str, str | int]) -> Any:
    """Return the JSON of a page."""
    try:
        return reddit.request(method="GET", path=path, params=params)
    except TooManyRequests as error:
        pause_s = error.retry_after
        raise RetryLater("HTTP 429", float(pause_s) if pause_s is not None else None) from error
    except (RequestException, ServerError) as error:
        raise RetryLater(type(error).__name__) from error
    except PrawcoreException as error:
        raise LightmeterError(_message(error)) from error


def _message(error: PrawcoreException) -> str:
    if isinstance(error, Redirect | NotFound):
        return "There is no such subreddit"
    if isinstance(error, Forbidden):
        return "Reddit does not show this subreddit: it is private, quarantined or banned"
    status = error.response.status_code if isinstance(error, ResponseException) else None
    if isinstance(error, OAuthException | InvalidToken) or status == _UNAUTHORISED:
        return f"Reddit does not accept the key in {' and '.join(KEYS)} ({type(error).__name__})"
    if status is not None:
        return f"Reddit answered HTTP {status}"
    return f"Reddit's response was not understood ({type(error).__name__})"
