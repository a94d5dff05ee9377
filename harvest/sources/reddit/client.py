"""Reddit's API, asked through PRAW."""

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
from lightmeter.harvest.sources.rate_limit import RetryLater, retry_when_busy

KEYS = ("REDDIT_CLIENT_ID", "REDDIT_CLIENT_SECRET")
URL_VARIABLE = "REDDIT_URL"
"""Names another address that speaks Reddit's protocol, for the token and for everything else."""

WINDOWS = ("hour", "day", "week", "month", "year", "all")
_UNAUTHORISED = 401


def connect(agent: str) -> praw.Reddit:
    """Return a read-only session.

    Raises:
        UsageError: if there is no key.
    """
    key, secret = (os.environ.get(name, "") for name in KEYS)
    if not key or not secret:
        raise UsageError(
            f"This needs a Reddit key: set {' and '.join(KEYS)}, or read a dump (--dump); see docs/sources/reddit.md."
        )
    elsewhere = os.environ.get(URL_VARIABLE)
    addresses: dict[str, Any] = {"reddit_url": elsewhere, "oauth_url": elsewhere} if elsewhere else {}
    return praw.Reddit(client_id=key, client_secret=secret, user_agent=agent, check_for_updates=False, **addresses)


def listings(reddit: praw.Reddit, name: str, search: str | None) -> list[tuple[str, Iterator[Submission]]]:
    """Return everything that lists a subreddit's posts; each shows a thousand at most, so all are united.

    Args:
        reddit: the session.
        name: of the subreddit, or of several with ``+`` between.
        search: words to search for; then only what the search shows, by every order it has.
    """
    subreddit = reddit.subreddit(name)
    if search:
        orders = ("new", "relevance", "top", "comments")
        return [(f"search {order}", subreddit.search(search, sort=order, limit=None)) for order in orders]
    tops = [(f"top {window}", subreddit.top(time_filter=window, limit=None)) for window in WINDOWS]
    return [
        ("new", subreddit.new(limit=None)),
        ("hot", subreddit.hot(limit=None)),
        ("rising", subreddit.rising(limit=None)),
        *tops,
    ]


def read(listing: Iterator[Submission]) -> Iterator[dict[str, Any]]:
    """Yield a listing's posts.

    Raises:
        LightmeterError: if Reddit does not answer, or says no.
    """
    while True:
        post = retry_when_busy(lambda: _next(listing), "Reddit")
        if post is None:
            return
        yield vars(post)


def _next(listing: Iterator[Submission]) -> Submission | None:
    """Return the next post; after `Busy`, the listing goes on where it was."""
    try:
        return next(listing, None)
    except TooManyRequests as error:
        pause = error.retry_after
        raise RetryLater("HTTP 429", float(pause) if pause is not None else None) from error
    except (RequestException, ServerError) as error:
        raise RetryLater(type(error).__name__) from error
    except (OAuthException, InvalidToken) as error:
        raise LightmeterError(_wrong_key(error)) from error
    except ResponseException as error:
        raise _meaning(error) from error
    except PrawcoreException as error:
        raise LightmeterError(f"Reddit's answer was not understood ({type(error).__name__})") from error


def _meaning(error: ResponseException) -> LightmeterError:
    if isinstance(error, Redirect | NotFound):
        return LightmeterError("There is no such subreddit")
    if isinstance(error, Forbidden):
        return LightmeterError("Reddit does not show this subreddit: it is private, in quarantine or banned")
    if error.response.status_code == _UNAUTHORISED:
        return LightmeterError(_wrong_key(error))
    return LightmeterError(f"Reddit answered HTTP {error.response.status_code}")


def _wrong_key(error: Exception) -> str:
    return f"Reddit does not accept the key in {' and '.join(KEYS)} ({type(error).__name__})"
