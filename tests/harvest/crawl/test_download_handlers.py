"""Download handlers of local files and of the URL schemes of sources."""

import asyncio
import os
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from scrapy import Request
from scrapy.settings import Settings

from lightmeter.errors import LightmeterError
from lightmeter.harvest.crawl.download_handlers import FileHandler, SchemeHandler
from lightmeter.harvest.crawl.reasons import DownloadError


class Workers:
    """Runs functions at once."""

    async def run(self, function: Callable[..., Any], *args: Any) -> Any:
        return function(*args)


def crawler(read: Callable[[str], Any] | None = None) -> Any:
    settings = Settings({"DOWNLOAD_MAXSIZE": 100, "LIGHTMETER_READERS": {"made-up": read}})
    return SimpleNamespace(settings=settings, spider=SimpleNamespace(workers=Workers()))


def read_file(path: Path) -> bytes:
    return asyncio.run(FileHandler(crawler()).download_request(Request(path.as_uri()))).body


def read_scheme(read: Callable[[str], Any]) -> bytes:
    return asyncio.run(SchemeHandler(crawler(read)).download_request(Request("made-up://1"))).body


@pytest.mark.parametrize("name", ["a.jpg", "a#?%20 ü.jpg", os.fsdecode(b"Am\xe9lie.jpg")])
def test_file_is_read_whatever_its_name(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(b"photo")
    assert read_file(tmp_path / name) == b"photo"


def test_file_that_cannot_be_read_has_a_reason(tmp_path: Path) -> None:
    (tmp_path / "large").write_bytes(b"a" * 101)
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "folder").mkdir()
    (tmp_path / "loop").symlink_to("loop")
    reasons = {
        "large": "too many bytes: 101",
        "pipe": "not a regular file",
        "folder": "Is a directory",
        "missing": "No such file",
        "loop": "Too many levels",
    }
    for name, reason in reasons.items():
        with pytest.raises(DownloadError, match=reason):
            read_file(tmp_path / name)
    for device in ("/dev/zero", "/dev/null"):
        with pytest.raises(DownloadError, match="not a regular file"):
            read_file(Path(device))


def test_source_reads_its_own_scheme() -> None:
    assert read_scheme(lambda url: url.encode()) == b"made-up://1"


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (FileNotFoundError(2, "No such file or directory"), "unreadable: No such file or directory"),
        (LightmeterError("The archive is damaged."), "unreadable: The archive is damaged$"),
        (KeyError("secret"), "unreadable: the source of made-up: addresses failed"),
    ],
)
def test_failure_of_a_source_has_a_reason(error: Exception, reason: str) -> None:
    def read(url: str) -> bytes:
        raise error

    with pytest.raises(DownloadError, match=reason):
        read_scheme(read)


@pytest.mark.parametrize(("value", "reason"), [(None, "returned no bytes"), (b"a" * 101, "too many bytes: 101")])
def test_value_of_a_source_is_checked(value: Any, reason: str) -> None:
    with pytest.raises(DownloadError, match=reason):
        read_scheme(lambda _: value)
