"""Tests that every source plugin must pass."""

import asyncio
import json
import threading
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, ClassVar

import pytest

from lightmeter import plugins
from lightmeter.harvest.catalogue.records import clean_record
from lightmeter.harvest.licences import normalise_licence
from lightmeter.harvest.sources.base import Checkpoint, Cursor, Item, Sighting, Source, SpiderSource, Unreadable
from lightmeter.harvest.sources.registry import load_source, option_name, provider_of
from lightmeter.settings import Settings
from lightmeter.testing.server import ACTIVE, create_project, run_lightmeter

_STATES = ("fetched", "skipped", "refused", "gone", "failed", "pending")


class SourceTests:
    """Tests of a source. Subclass it, name the source, and add the fixture ``query``.

    Attributes:
        source: The plugin's class.
        timeout_s: Seconds within which the query must end.

    Fixtures:
        query: Fields of the source's query as a dictionary; the query must yield at least two photographs. Simulate the
            service with `served`: photographs and recorded responses in a folder.

    Example:
        ```python
        import json

        import pytest
        from lightmeter_source_museum import Museum

        from lightmeter.testing import SourceTests, photograph, served


        class TestMuseum(SourceTests):
            source = Museum

            @pytest.fixture
            def query(self, tmp_path):
                (tmp_path / "1.jpg").write_bytes(photograph(1))
                (tmp_path / "2.jpg").write_bytes(photograph(2))
                (tmp_path / "list.json").write_text(json.dumps(["1.jpg", "2.jpg"]))
                with served(tmp_path) as server:
                    yield {"url": f"{server.url}/list.json"}
        ```
    """

    source: ClassVar[type[Source]]
    timeout_s: ClassVar[float] = 60

    def test_entry_point_has_name_of_source(self) -> None:
        """The entry point is named like the source and leads to its class, which keeps the contract of sources."""
        loaded = load_source(plugins.get("sources", self.source.name))
        assert loaded is self.source, f"the entry point '{self.source.name}' leads to {loaded}, expected {self.source}"

    def test_options_have_help(self) -> None:
        """The source has a summary, and each field of the query a description, which is the option's help."""
        assert self.source.summary, "the source has no summary; expected one line of text"
        for name, field in self.source.Query.model_fields.items():
            assert field.description, f"the query field '{name}' has no description"

    def test_ids_are_unique_and_stable(self, query: dict[str, Any]) -> None:
        """Two runs of the query yield the same identifiers, each once."""
        first, second = self.ids(query), self.ids(query)
        assert len(first) > 1, f"the query yields {len(first)} photographs; expected at least two"
        assert all(first), "an identifier is empty"
        repeated = [source_id for source_id in dict.fromkeys(first) if first.count(source_id) > 1]
        assert not repeated, f"the identifier {repeated[0]} appears twice; expected each once"
        assert first == second, f"a second run yields {second}; expected the identifiers of the first, {first}"

    def test_sightings_have_valid_fields(self, query: dict[str, Any]) -> None:
        """Every field has the type that `Sighting` declares, and nothing is unreadable."""
        self.check_fields(self._discover(query, None), self.source(Settings()))

    @staticmethod
    def check_fields(items: Iterable[Item], source: Source) -> None:
        """Fail for the first item that the catalogue would not take as it is."""
        for item in items:
            if isinstance(item, Checkpoint):
                continue
            record = clean_record(item, provider_of(source))
            assert not isinstance(record, Unreadable), f"{record.location}: {record.reason}"
            assert record.problem is None, f"{record.problem}; expected a sighting without problems: {item}"

    def test_sightings_have_allowed_urls_and_credit(self, query: dict[str, Any]) -> None:
        """Media URLs have an allowed scheme, and photographs under a CC BY licence have a credit line."""
        schemes = self.source.schemes | ({self.source.scheme} if self.source.scheme else set())
        for item in self.sightings(query):
            assert not item.media_url or item.media_url.partition(":")[0] in schemes, (
                f"the media URL {item.media_url} has none of the allowed schemes {', '.join(sorted(schemes))}"
            )
            licence = normalise_licence(item.licence) or ""
            assert item.attribution or not licence.startswith("CC-BY"), f"{licence} requires an attribution"

    def test_discovery_downloads_no_photographs(self, query: dict[str, Any]) -> None:
        """The source only lists photographs; the engine downloads them."""
        media_urls = {item.media_url for item in self.sightings(query)}
        requested = {server.url + path for server in ACTIVE for path in server.requests}
        downloaded = media_urls & requested
        assert not downloaded, f"the source itself downloads {downloaded}; expected that it only lists photographs"

    def test_discovery_resumes_from_each_checkpoint(self, query: dict[str, Any]) -> None:
        """From each checkpoint on, the source yields exactly what it yielded after it."""
        if issubclass(self.source, SpiderSource):
            pytest.skip("a SpiderSource has no checkpoints: the engine starts at the first pages again")
        cursors: list[Cursor] = []
        following: list[list[str]] = []
        for item in self._discover(query, None):
            if isinstance(item, Unreadable):
                continue
            if isinstance(item, Checkpoint):
                cursors.append(json.loads(json.dumps(item.cursor)))
                following.append([])
            else:
                for ids in following:
                    ids.append(item.source_id)
        for cursor, ids in zip(cursors, following, strict=True):
            resumed = self.ids(query, cursor)
            assert resumed == ids, f"after the checkpoint {cursor} the source yields {resumed}; expected {ids}"

    def test_engine_harvests_each_photograph_once(self, query: dict[str, Any], tmp_path: Path) -> None:
        """The counts of a run add up, and a second run downloads nothing."""
        project = create_project(tmp_path / "project")
        command = ("harvest", "run", self.source.name, *self._options(query))
        first = run_lightmeter(project, *command, timeout_s=5 * self.timeout_s)
        assert first["state"] == "finished", f"the run ends as {first['state']}; expected finished: {first}"
        states = sum(first[state] for state in _STATES)
        assert first["found"] == states > 1, f"expected at least two photographs, each in one state: {first}"
        assert first["fetched"] > 0, f"expected that photographs are fetched: {first}"
        assert first["pending"] == 0, f"expected that nothing is pending: {first}"
        second = run_lightmeter(project, *command, timeout_s=5 * self.timeout_s)
        again = (second["found"], second["fetched"])
        assert again == (0, 0), f"a second run finds and fetches {again}; expected nothing new"
        assert second["existing"] >= first["found"], f"expected that a second run finds all photographs again: {second}"

    def sightings(self, query: dict[str, Any], cursor: Cursor | None = None) -> Iterator[Sighting]:
        """Yield the sightings of a query, without the engine."""
        return (item for item in self._discover(query, cursor) if isinstance(item, Sighting))

    def ids(self, query: dict[str, Any], cursor: Cursor | None = None) -> list[str]:
        """Return the identifiers of a query's sightings; of a website, where pages may overlap, each once."""
        ids = [item.source_id for item in self.sightings(query, cursor)]
        return list(dict.fromkeys(ids)) if issubclass(self.source, SpiderSource) else ids

    def _discover(self, query: dict[str, Any], cursor: Cursor | None) -> list[Item]:
        """Return all that a query yields; fail if it does not end in time."""
        source = self.source(Settings())
        values = source.Query(**query)
        if isinstance(source, SpiderSource):
            return _collect_in_time(lambda: _crawl(source, values), self.timeout_s)
        return _collect_in_time(lambda: source.discover(values, cursor), self.timeout_s)

    def _options(self, query: dict[str, Any]) -> list[str]:
        """Return a query as command-line options."""
        options: list[str] = []
        for name, field in self.source.Query.model_fields.items():
            if name not in query:
                continue
            option, value = option_name(name, field), query[name]
            if isinstance(value, bool):
                options.append(option if value else option.replace("--", "--no-", 1))
            else:
                options += [option, str(value)] if option.startswith("--") else [str(value)]
        return options


def _collect_in_time(discover: Callable[[], Iterable[Item] | AsyncIterator[Item]], timeout_s: float) -> list[Item]:
    """Return the items of a source.

    Raises:
        AssertionError: The source does not end in time.
        Exception: The source failed.
    """
    items: list[Item] = []
    errors: list[BaseException] = []
    stopped = threading.Event()

    def collect() -> None:
        try:
            yielded = discover()
            for item in asyncio.run(_all_of(yielded)) if isinstance(yielded, AsyncIterator) else yielded:
                items.append(item)
                if stopped.is_set():
                    return
        except BaseException as error:  # noqa: BLE001 - raised below
            errors.append(error)

    thread = threading.Thread(target=collect, daemon=True)
    thread.start()
    thread.join(timeout_s)
    if thread.is_alive():
        stopped.set()
        different = len({item.source_id for item in items if isinstance(item, Sighting)})
        raise AssertionError(
            f"the query does not end within {timeout_s:g} s: it yielded {len(items):,} items, {different:,} different "
            "photographs; expected that it ends. Does the paging repeat a page, or the service not answer?"
        )
    if errors:
        raise errors[0]
    return items


async def _all_of(items: AsyncIterator[Item]) -> list[Item]:
    return [item async for item in items]


def _crawl(source: SpiderSource, query: Any) -> Iterator[Sighting | Unreadable]:
    """Download and parse the pages of a website one after the other."""
    import httpx
    from scrapy import Request
    from scrapy.responsetypes import responsetypes

    pending, visited = list(source.start(query)), set()
    while pending:
        request = pending.pop(0)
        if request.url in visited:
            continue
        visited.add(request.url)
        page = httpx.get(request.url, follow_redirects=True)
        response_class = responsetypes.from_args(url=request.url, body=page.content)
        response = response_class(request.url, status=page.status_code, body=page.content, request=request)
        for item in source.parse(response, query):
            if isinstance(item, Request):
                pending.append(item)
            else:
                yield item
