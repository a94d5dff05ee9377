"""Flickr's API, asked through flickrapi: signed, patient, and within one budget."""

import json
import logging
import os
from typing import Any

import requests
from flickrapi import FlickrAPI
from flickrapi.exceptions import FlickrError

from lightmeter.errors import LightmeterError, UsageError
from lightmeter.harvest.sources.rate_limit import RateLimiter, RetryLater, retry_after, retry_when_busy

KEYS = ("FLICKR_API_KEY", "FLICKR_API_SECRET")
URL_VARIABLE = "FLICKR_API_URL"
"""Names another address that speaks Flickr's protocol, a proxy for instance."""

_LOG_KEYS = ("oauthlib", "requests_oauthlib", "flickrapi")
"""Libraries that write keys and signatures into their debug log."""

_TOO_MANY, _SERVER_ERROR = 429, 500
_TEMPORARY_CODES = {0, 10, 105, 106}
_WRONG_KEY_CODES = {96, 97, 98, 99, 100}


class Refused(Exception):
    """Flickr answered that it will not do this.

    Attributes:
        code: as its documentation lists for each method.
    """

    def __init__(self, code: int | None, message: str) -> None:
        super().__init__(message)
        self.code = code


class Client:
    """Asks Flickr; the key is looked for when it is first needed.

    Args:
        budget: of requests; None for no limit.
        timeout_s: longest wait for one answer.
    """

    def __init__(self, budget: RateLimiter | None, timeout_s: float) -> None:
        self._budget, self._timeout_s = budget, timeout_s
        self._api: FlickrAPI | None = None
        self._answered: requests.Response | None = None

    def ask(self, method: str, **words: Any) -> dict[str, Any]:
        """Return the answer of a method (``photos.search``).

        Raises:
            Refused: if Flickr says no.
            LightmeterError: if it does not answer, or the key is wrong.
        """
        return retry_when_busy(lambda: self._once(method, words), "Flickr")

    def _once(self, method: str, words: dict[str, Any]) -> dict[str, Any]:
        api = self._connected()
        if self._budget is not None:
            self._budget.wait()
        self._answered = None
        try:
            answer: dict[str, Any] = api.do_flickr_call(f"flickr.{method}", format="parsed-json", **words)
        except FlickrError as error:
            raise self._meaning(error) from error
        except (requests.ConnectionError, requests.Timeout, requests.exceptions.ChunkedEncodingError) as error:
            raise RetryLater(type(error).__name__) from error
        except (json.JSONDecodeError, UnicodeDecodeError) as error:
            raise RetryLater("an answer that is not JSON") from error
        return answer

    def _meaning(self, error: FlickrError) -> Exception:
        """Return what an error of flickrapi stands for: come back later, a wrong key, or a refusal."""
        status = self._answered.status_code if self._answered is not None else None
        if status == _TOO_MANY or (status or 0) >= _SERVER_ERROR:
            assert self._answered is not None  # noqa: S101 - it gave the status
            return RetryLater(f"HTTP {status}", retry_after(self._answered.headers.get("Retry-After")))
        if error.code in _TEMPORARY_CODES:
            return RetryLater(str(error))
        if error.code in _WRONG_KEY_CODES:
            return LightmeterError(f"Flickr does not accept the key in {' and '.join(KEYS)} ({error})")
        return Refused(error.code, str(error))

    def _connected(self) -> FlickrAPI:
        if self._api is None:
            key, secret = (os.environ.get(name, "") for name in KEYS)
            if not key or not secret:
                raise UsageError(f"This needs a Flickr key: set {' and '.join(KEYS)}; see docs/sources/flickr.md.")
            for talkative in _LOG_KEYS:
                logging.getLogger(talkative).setLevel(logging.WARNING)
            self._api = FlickrAPI(key, secret, store_token=False, timeout=self._timeout_s)
            self._api.REST_URL = os.environ.get(URL_VARIABLE, FlickrAPI.REST_URL)
            self._api.flickr_oauth.session.hooks["response"].append(self._remember)
        return self._api

    def _remember(self, response: requests.Response, *_: object, **__: object) -> None:
        self._answered = response
