"""What the author of a source plugin needs to test it: one class of tests, and a server that plays the service.

    from lightmeter.testing import SourceTests, photograph, served

    class TestMuseum(SourceTests):
        source = Museum

        @pytest.fixture
        def query(self, tmp_path):
            with served(tmp_path) as service:       # a folder of files: JSON answers, pages, photographs
                yield {"address": service.address}

The tests run in pytest; the package with the plugin must be installed.
"""

import io
import json
import os
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar

from lightmeter import plugins
from lightmeter.harvest.licences import normalise_licence
from lightmeter.harvest.sources.base import Checkpoint, PhotoItem, Source, SpiderSource
from lightmeter.harvest.sources.registry import option_name
from lightmeter.settings import Settings

_STATES = ("fetched", "skipped", "refused", "gone", "failed", "pending")
_SERVICES: list["Service"] = []  # that are being served
_LOOPBACK = {"LIGHTMETER_CRAWL__PRIVATE_ADDRESSES": "true"}


class Service:
    """A folder served on loopback.

    Attributes:
        address: ``http://127.0.0.1:PORT``.
        asked: how often each path was asked for.
    """

    def __init__(self, address: str, asked: "Counter[str]") -> None:
        self.address = address
        self.asked = asked


@contextmanager
def served(folder: Path) -> Iterator[Service]:
    """Serve a folder's files on loopback while the block runs."""
    asked: Counter[str] = Counter()

    class Handler(SimpleHTTPRequestHandler):
        def do_GET(self) -> None:
            asked[self.path] += 1
            super().do_GET()

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Handler, directory=str(folder)))
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    service = Service(f"http://127.0.0.1:{server.server_port}", asked)
    _SERVICES.append(service)
    try:
        yield service
    finally:
        _SERVICES.remove(service)
        server.shutdown()
        thread.join()
        server.server_close()


def photograph(seed: int = 0, *, f_number: float = 2.8, exposure_time_s: float = 0.008, iso: int = 200) -> bytes:
    """Return a small JPEG of noise with EXIF; another seed, another picture."""
    import numpy as np
    from PIL import Image

    pixels = np.random.default_rng(seed).integers(0, 255, (48, 64, 3), dtype=np.uint8)
    tags = Image.Exif()
    tags[0x010F], tags[0x0110] = "Lightmeter", "Test camera"
    tags.get_ifd(0x8769).update({0x829D: f_number, 0x829A: exposure_time_s, 0x8827: iso})
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "JPEG", exif=tags)
    return file.getvalue()


class SourceTests:
    """Tests that every source must pass. Subclass it, name the source, and give it a fixture ``query``.

    Attributes:
        source: the plugin's class. The fixture ``query`` gives the fields of its query, which must find at least two
            photographs.
    """

    source: ClassVar[type[Source]]

    def test_it_is_installed_under_its_own_name(self) -> None:
        """The entry point has the class's name and leads to the class."""
        assert plugins.get("sources", self.source.name).load() is self.source

    def test_its_options_are_explained(self) -> None:
        """Each field of the query has a description: it is the option's help."""
        assert self.source.summary
        for name, field in self.source.Query.model_fields.items():
            assert field.description, f"the field '{name}' has no description"

    def test_ids_are_there_unique_and_stable(self, query: dict[str, Any]) -> None:
        """Asked twice, the source tells the same ids, each once."""
        if issubclass(self.source, SpiderSource):
            return  # its pages are read by the engine, below
        first, second = self._ids(query, None), self._ids(query, None)
        assert len(first) > 1, "the query must find at least two photographs"
        assert all(first)
        assert len(set(first)) == len(first)
        assert first == second

    def test_what_it_tells_has_the_agreed_form(self, query: dict[str, Any]) -> None:
        """Addresses are of allowed schemes; licences have SPDX-like names, and an attribution where they ask for it."""
        own = {self.source.scheme} if self.source.scheme else set()
        for one in self._sightings(query, None):
            if one.media_url:
                assert one.media_url.partition(":")[0] in self.source.schemes | own
            licence = normalise_licence(one.licence)
            assert one.attribution or not (licence or "").startswith("CC-BY"), "CC BY asks for an attribution"

    def test_discovery_fetches_no_photograph(self, query: dict[str, Any]) -> None:
        """The source asks its service what exists; the photographs themselves are the engine's to fetch."""
        addresses = {one.media_url for one in self._sightings(query, None)}
        asked = {service.address + path for service in _SERVICES for path in service.asked}
        assert not addresses & asked

    def test_a_checkpoint_goes_on_where_it_was_given(self, query: dict[str, Any]) -> None:
        """From each checkpoint on, what is told is all that came behind it."""
        if issubclass(self.source, SpiderSource):
            return
        behind: list[list[str]] = []
        cursors: list[dict[str, Any]] = []
        for item in self._items(query, None):
            if isinstance(item, Checkpoint):
                cursors.append(json.loads(json.dumps(item.cursor)))
                behind.append([])
            elif behind:
                for ids in behind:
                    ids.append(item.source_id)
        for cursor, ids in zip(cursors, behind, strict=True):
            assert self._ids(query, cursor) == ids

    def test_the_engine_accounts_for_everything_once(self, query: dict[str, Any], tmp_path: Path) -> None:
        """A run's counts add up; a second run finds nothing new and fetches nothing."""
        project = tmp_path / "project"
        self._lightmeter(tmp_path, "init", str(project))
        first = self._lightmeter(project, "harvest", "run", self.source.name, *self._words(query))
        assert first["state"] == "finished"
        assert first["found"] == sum(first[state] for state in _STATES) > 1
        assert first["fetched"] > 0
        assert first["pending"] == 0
        again = self._lightmeter(project, "harvest", "run", self.source.name, *self._words(query))
        assert (again["found"], again["fetched"], again["existing"]) == (0, 0, first["found"])

    def _items(self, query: dict[str, Any], cursor: dict[str, Any] | None) -> Iterator[PhotoItem | Checkpoint]:
        source = self.source(Settings())
        found = source.discover(source.Query(**query), cursor)
        assert isinstance(found, Iterator), "the tests ask plain generators; the engine tests ask the others"
        return found

    def _sightings(self, query: dict[str, Any], cursor: dict[str, Any] | None) -> Iterator[PhotoItem]:
        if not issubclass(self.source, SpiderSource):
            yield from (item for item in self._items(query, cursor) if isinstance(item, PhotoItem))

    def _ids(self, query: dict[str, Any], cursor: dict[str, Any] | None) -> list[str]:
        return [one.source_id for one in self._sightings(query, cursor)]

    def _words(self, query: dict[str, Any]) -> list[str]:
        """Return a query as it is written on the command line."""
        words: list[str] = []
        for name, field in self.source.Query.model_fields.items():
            option = option_name(name, field)
            if name not in query:
                continue
            if isinstance(query[name], bool):
                words.append(option if query[name] else option.replace("--", "--no-", 1))
            else:
                words += [str(query[name])] if not option.startswith("--") else [option, str(query[name])]
        return words

    def _lightmeter(self, folder: Path, *words: str) -> dict[str, Any]:
        done = subprocess.run(
            [sys.executable, "-m", "lightmeter", *words, "--json"],
            cwd=folder,
            env=os.environ | _LOOPBACK,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        document: dict[str, Any] = json.loads(done.stdout)
        return document
