"""Addresses (URLs) from sources: one strict parser, which normalises them and takes out credentials."""

import re
from base64 import b64encode
from dataclasses import dataclass, field
from urllib.parse import SplitResult, unquote, urlsplit

MAX_ADDRESS_LENGTH = 16_384
"""Characters of an address; a path of 4,096 bytes has up to 12,295 as a ``file:`` URL."""

_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*(?=:)")
_WEB = frozenset({"http", "https"})
_CREDENTIALS = re.compile(r"(?<=://)[^\s/?#]*@")
_MAX_HOST_LENGTH, _MAX_LABEL_LENGTH = 253, 63
_DEFAULT_PORTS = {"http": 80, "https": 443}


class InvalidAddress(ValueError):
    """An address that cannot be requested; the message says why."""


@dataclass(frozen=True, slots=True)
class Address:
    """An address that can be requested and stored.

    Attributes:
        url: The URL without credentials, with scheme and host in lower case (RFC 3986, section 6.2.2.1).
        authorisation: Value of the Authorization header for the credentials that the address had; never stored.
    """

    url: str
    authorisation: str | None = field(default=None, repr=False)


def parse_address(text: str) -> Address:
    """Return the address in a text.

    Raises:
        InvalidAddress: The text is no address.

    Example:
        >>> parse_address("HTTPS://ann:secret@Example.org/Fog.jpg").url
        'https://example.org/Fog.jpg'
    """
    text = strip_address(text)
    if len(text) > MAX_ADDRESS_LENGTH:
        raise InvalidAddress(f"it has {len(text):,} characters, more than {MAX_ADDRESS_LENGTH:,}")
    scheme = scheme_of(text)
    if not scheme:
        raise InvalidAddress("it has no scheme such as https")
    if scheme not in _WEB:
        return Address(scheme + text[len(scheme) :])
    parts = _split(text)
    path = text[len(scheme) + len("://") + len(parts.netloc) :]
    userinfo = parts.netloc.rpartition("@")[0]
    return Address(f"{scheme}://{_host_and_port(parts)}{path}", _basic(userinfo) if userinfo else None)


def scheme_of(text: str) -> str:
    """Return the scheme of an address in lower case; empty if it has none."""
    match = _SCHEME.match(text.lstrip())
    return match[0].lower() if match else ""


def strip_address(text: str) -> str:
    """Return an address without surrounding blanks and without line breaks and tabs, as browsers read it."""
    return text.strip().translate({9: None, 10: None, 13: None})


def host_of(url: str) -> str:
    """Return the host of a web address, with its port unless that is the default one.

    Raises:
        InvalidAddress: The text is no address.

    Example:
        >>> host_of("https://Example.org:443/fog")
        'example.org'
    """
    parts = _split(parse_address(url).url)
    port = f":{parts.port}" if parts.port and parts.port != _DEFAULT_PORTS.get(parts.scheme) else ""
    return _host_and_port(parts).removesuffix(f":{parts.port}") + port


def leased_host(url: str) -> str:
    """Return the host name of a web address without its port; empty for other addresses and for what is none.

    Workers lease it, so that only one of them sends requests to a host.

    Example:
        >>> leased_host("https://Example.org.:8443/fog")
        'example.org'
        >>> leased_host("file:///fog.jpg")
        ''
    """
    if scheme_of(url) not in _WEB:
        return ""
    try:
        return (urlsplit(url).hostname or "").rstrip(".")[:_MAX_HOST_LENGTH]
    except ValueError:
        return ""


def check_web_address(url: str) -> str:
    """Return a web address that a user typed.

    Raises:
        ValueError: It is none, or it has credentials, which would be stored.
    """
    try:
        address = parse_address(url)
    except InvalidAddress as error:
        raise ValueError(f"{remove_credentials(url)} is not a web address: {error}") from error
    if scheme_of(url) not in _WEB:
        raise ValueError(f"{url} is not a web address")
    if address.authorisation:
        raise ValueError(f"{address.url}: write the address without user name and password; they would be stored")
    return address.url


def remove_credentials(text: str) -> str:
    """Return text in which no URL has credentials.

    Example:
        >>> remove_credentials("see https://ann:secret@example.org/")
        'see https://example.org/'
    """
    return _CREDENTIALS.sub("", text) if "@" in text else text


def _split(text: str) -> SplitResult:
    try:
        parts = urlsplit(text)
    except ValueError as error:
        raise InvalidAddress("its host is not valid") from error
    try:
        port = parts.port
    except ValueError:
        port = 0
    if port == 0:
        raise InvalidAddress("its port is not a number from 1 to 65535")
    _check_host(parts.hostname or "")
    return parts


def _check_host(host: str) -> None:
    if not host:
        raise InvalidAddress("it has no host")
    if len(host) > _MAX_HOST_LENGTH:
        raise InvalidAddress("its host is not valid")
    try:
        labels = host.encode("idna").decode().rstrip(".").split(".")
    except UnicodeError as error:
        raise InvalidAddress("its host is not valid") from error
    invalid = ' <>"\\^`{|}' if ":" in host else ' <>"\\^`{|}%'  # the zone of an IPv6 address follows a percent sign
    if not all(0 < len(label) <= _MAX_LABEL_LENGTH for label in labels) or any(c in host for c in invalid):
        raise InvalidAddress("its host is not valid")


def _host_and_port(parts: SplitResult) -> str:
    """Return the host in lower case, with the port if there is one."""
    return parts.netloc.rpartition("@")[2].lower().removesuffix(":")


def _basic(userinfo: str) -> str:
    user, _, password = userinfo.partition(":")
    return f"Basic {b64encode(f'{unquote(user)}:{unquote(password)}'.encode(errors='replace')).decode()}"
