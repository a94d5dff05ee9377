"""Client of the Reddit API through PRAW."""

import os
from collections.abc import Iterator
from typing import Any

import praw
from praw.models import Submission
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
from lightmeter.harvest.sources.base import Unreadable
from lightmeter.harvest.sources.rate_limit import RetryLater, retry_when_busy

KEYS = ("REDDIT_CLIENT_ID", "REDDIT_CLIENT_SECRET")
URL_VARIABLE = "REDDIT_URL"
"""Environment variable that replaces the URLs of the API, for example with that of a proxy."""

TIME_FILTERS = ("hour", "day", "week", "month", "year", "all")
SEARCH_ORDERS = ("new", "relevance", "top", "comments")
_UNAUTHORISED = 401


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
    return praw.Reddit(client_id=key, client_secret=secret, user_agent=user_agent, check_for_updates=False, **urls)


def listings(reddit: praw.Reddit, name: str, search: str | None) -> list[Iterator[Submission]]:
    """Return all lists of a subreddit's posts; each contains at most a thousand posts.

    Args:
        reddit: Client of the API.
        name: Name of the subreddit, or several with ``+`` between them.
        search: Search term; None for all posts.
    """
    subreddit = reddit.subreddit(name)
    if search:
        return [subreddit.search(search, sort=order, limit=None) for order in SEARCH_ORDERS]
    newest = [subreddit.new(limit=None), subreddit.hot(limit=None), subreddit.rising(limit=None)]
    return newest + [subreddit.top(time_filter=time_filter, limit=None) for time_filter in TIME_FILTERS]


def read(listing: Iterator[Submission], location: str) -> Iterator[dict[str, Any] | Unreadable]:
    """Yield the posts of a list; it ends where PRAW cannot read it further.

    Args:
        listing: The list.
        location: Name of the list.

    Raises:
        LightmeterError: Reddit does not answer, or refuses.
    """
    try:
        while (post := retry_when_busy(lambda: _next(listing), "Reddit")) is not None:
            yield vars(post)
    except LightmeterError:
        raise
    except Exception as error:  # noqa: BLE001 - PRAW raises anything for records of another form
        yield Unreadable(location, f"PRAW cannot read its posts ({type(error).__name__}: {error})")


def _next(listing: Iterator[Submission]) -> Submission | None:
    """Return the next post; after `RetryLater` the list continues where it was."""
    try:
        return next(listing, None)
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
