"""Client of the Flickr API through flickrapi: with retries, and within the rate limit."""

import logging
import os
from typing import TYPE_CHECKING, Any

from lightmeter.errors import LightmeterError, UsageError
from lightmeter.harvest.sources.base import Source
from lightmeter.harvest.sources.json_text import parse_json
from lightmeter.harvest.sources.rate_limit import RateLimiter, RetryLater, retry_after, retry_when_busy

if TYPE_CHECKING:
    import requests
    from flickrapi import FlickrAPI
    from flickrapi.exceptions import FlickrError

KEYS = ("FLICKR_API_KEY", "FLICKR_API_SECRET")
URL_VARIABLE = "FLICKR_API_URL"
"""Environment variable that replaces the URL of the API, for example with that of a proxy."""

NOT_FOUND, EXIF_HIDDEN = 1, 2
"""Error codes of ``photos.getExif``."""

_VERBOSE_LOGGERS = ("oauthlib", "requests_oauthlib", "flickrapi")
"""Libraries that write keys and signatures to their debug log."""

_TOO_MANY, _SERVER_ERROR = 429, 500
_TEMPORARY_CODES = {0, 10, 105, 106}
_INVALID_KEY_CODES = {96, 97, 98, 99, 100}


class Refused(Exception):
    """Flickr refused a request.

    Attributes:
        code: Error code of the API method.
    """

    def __init__(self, code: int | None, message: str) -> None:
        super().__init__(message)
        self.code = code


class Client:
    """Client of the Flickr API; it reads the key at the first call.

    Args:
        rate_limiter: Limits the calls; None for no limit.
        timeout_s: Seconds to wait for a response.
    """

    def __init__(self, rate_limiter: RateLimiter | None, timeout_s: float) -> None:
        self._rate_limiter, self._timeout_s = rate_limiter, timeout_s
        self._api: FlickrAPI | None = None
        self._response: requests.Response | None = None

    def call(self, method: str, **params: Any) -> dict[str, Any]:
        """Call an API method such as ``photos.search`` and return its JSON.

        Raises:
            Refused: Flickr refused the request.
            LightmeterError: Flickr does not answer, or the key is invalid.
        """
        return retry_when_busy(lambda: self._request(method, params), "Flickr")

    def _request(self, method: str, params: dict[str, Any]) -> dict[str, Any]:
        import requests
        from flickrapi.exceptions import FlickrError

        api = self._connect()
        if self._rate_limiter is not None:
            self._rate_limiter.wait()
        self._response = None
        try:
            document = parse_json(api.do_flickr_call(f"flickr.{method}", format="json", **params))
        except FlickrError as error:
            raise self._translate(error) from error
        except (requests.ConnectionError, requests.Timeout, requests.exceptions.ChunkedEncodingError) as error:
            raise RetryLater(type(error).__name__) from error
        except ValueError as error:
            raise RetryLater("a response that is not JSON") from error
        if not isinstance(document, dict):
            raise RetryLater("a response that is not a JSON object")
        if document.get("stat") == "fail":
            code = document.get("code")
            raise self._translate(FlickrError(f"Error: {code}: {document.get('message')}", code))
        return document

    def _translate(self, error: "FlickrError") -> Exception:
        """Return the exception that an error of flickrapi stands for."""
        response = self._response
        if response is not None and (response.status_code == _TOO_MANY or response.status_code >= _SERVER_ERROR):
            return RetryLater(f"HTTP {response.status_code}", retry_after(response.headers.get("Retry-After")))
        if error.code in _TEMPORARY_CODES:
            return RetryLater(str(error))
        if error.code in _INVALID_KEY_CODES:
            return LightmeterError(f"Flickr does not accept the key in {' and '.join(KEYS)} ({error})")
        return Refused(error.code, str(error))

    def _connect(self) -> "FlickrAPI":
        if self._api is None:
            from flickrapi import FlickrAPI

            key, secret = (os.environ.get(name, "") for name in KEYS)
            if not key or not secret:
                raise UsageError(
                    f"Flickr needs an API key: set {' and '.join(KEYS)} (how to get one: docs/sources/flickr.md)."
                )
            for name in _VERBOSE_LOGGERS:
                logging.getLogger(name).setLevel(logging.WARNING)
            self._api = FlickrAPI(key, secret, store_token=False, timeout=self._timeout_s)
            self._api.REST_URL = os.environ.get(URL_VARIABLE, FlickrAPI.REST_URL)
            self._api.flickr_oauth.session.hooks["response"].append(self._store_response)
        return self._api

    def _store_response(self, response: "requests.Response", *_: object, **__: object) -> None:
        self._response = response


def connect(source: Source) -> Client:
    """Return a client with the rate limiter and the settings of a source.

    Raises:
        LightmeterError: flickrapi is not installed.
    """
    try:
        import flickrapi  # noqa: F401 - only whether it is installed
    except ModuleNotFoundError as error:
        raise LightmeterError("flickrapi is not installed; run: pip install 'lightmeter[flickr]'") from error
    return Client(source.rate_limiter, source.settings.crawl.timeout_s)
