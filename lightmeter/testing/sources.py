"""Tests that every source plugin must pass."""

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any, ClassVar

import pytest

from lightmeter import plugins
from lightmeter.harvest.licences import normalise_licence
from lightmeter.harvest.sources.base import Checkpoint, Cursor, Sighting, Source, SpiderSource
from lightmeter.harvest.sources.registry import option_name
from lightmeter.settings import Settings
from lightmeter.testing.server import ACTIVE, create_project, run_lightmeter

_STATES = ("fetched", "skipped", "refused", "gone", "failed", "pending")


class SourceTests:
    """Tests of a source. Subclass it, name the source, and add the fixture ``query``.

    Attributes:
        source: The plugin's class.

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

    def test_entry_point_has_name_of_source(self) -> None:
        """The entry point is named like the source and leads to its class."""
        assert plugins.get("sources", self.source.name).load() is self.source

    def test_options_have_help(self) -> None:
        """The source has a summary, and each field of the query a description, which is the option's help."""
        assert self.source.summary
        for name, field in self.source.Query.model_fields.items():
            assert field.description, f"the query field '{name}' has no description"

    def test_ids_are_unique_and_stable(self, query: dict[str, Any]) -> None:
        """Two runs of the query yield the same identifiers, each once."""
        first, second = self.ids(query), self.ids(query)
        assert len(first) > 1, "the query must yield at least two photographs"
        assert all(first), "an identifier is empty"
        assert len(set(first)) == len(first), "an identifier appears twice"
        assert first == second

    def test_sightings_have_allowed_urls_and_credit(self, query: dict[str, Any]) -> None:
        """Media URLs have an allowed scheme, and photographs under a CC BY licence have a credit line."""
        schemes = self.source.schemes | ({self.source.scheme} if self.source.scheme else set())
        for item in self.sightings(query):
            assert not item.media_url or item.media_url.partition(":")[0] in schemes, item.media_url
            licence = normalise_licence(item.licence) or ""
            assert item.attribution or not licence.startswith("CC-BY"), f"{licence} requires an attribution"

    def test_discovery_downloads_no_photographs(self, query: dict[str, Any]) -> None:
        """The source only lists photographs; the engine downloads them."""
        media_urls = {item.media_url for item in self.sightings(query)}
        requested = {server.url + path for server in ACTIVE for path in server.requests}
        assert not media_urls & requested

    def test_discovery_resumes_from_each_checkpoint(self, query: dict[str, Any]) -> None:
        """From each checkpoint on, the source yields exactly what it yielded after it."""
        if issubclass(self.source, SpiderSource):
            pytest.skip("a SpiderSource has no checkpoints: the engine starts at the first pages again")
        cursors: list[Cursor] = []
        following: list[list[str]] = []
        for item in self._discover(query, None):
            if isinstance(item, Checkpoint):
                cursors.append(json.loads(json.dumps(item.cursor)))
                following.append([])
            else:
                for ids in following:
                    ids.append(item.source_id)
        for cursor, ids in zip(cursors, following, strict=True):
            assert self.ids(query, cursor) == ids, f"wrong items after the checkpoint {cursor}"

    def test_engine_harvests_each_photograph_once(self, query: dict[str, Any], tmp_path: Path) -> None:
        """The counts of a run add up, and a second run downloads nothing."""
        project = create_project(tmp_path / "project")
        command = ("harvest", "run", self.source.name, *self._options(query))
        first = run_lightmeter(project, *command)
        assert first["state"] == "finished"
        assert first["found"] == sum(first[state] for state in _STATES) > 1
        assert first["fetched"] > 0
        assert first["pending"] == 0
        second = run_lightmeter(project, *command)
        assert (second["found"], second["fetched"]) == (0, 0)
        assert second["existing"] >= first["found"]

    def sightings(self, query: dict[str, Any], cursor: Cursor | None = None) -> Iterator[Sighting]:
        """Yield the sightings of a query, without the engine."""
        return (item for item in self._discover(query, cursor) if isinstance(item, Sighting))

    def ids(self, query: dict[str, Any], cursor: Cursor | None = None) -> list[str]:
        """Return the identifiers of a query's sightings; of a website, where pages may overlap, each once."""
        ids = [item.source_id for item in self.sightings(query, cursor)]
        return list(dict.fromkeys(ids)) if issubclass(self.source, SpiderSource) else ids

    def _discover(self, query: dict[str, Any], cursor: Cursor | None) -> Iterator[Sighting | Checkpoint]:
        source = self.source(Settings())
        values = source.Query(**query)
        if isinstance(source, SpiderSource):
            return _crawl(source, values)
        items = source.discover(values, cursor)
        return iter(asyncio.run(_collect(items))) if isinstance(items, AsyncIterator) else items

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


async def _collect(items: AsyncIterator[Sighting | Checkpoint]) -> list[Sighting | Checkpoint]:
    return [item async for item in items]


def _crawl(source: SpiderSource, query: Any) -> Iterator[Sighting]:
    """Download and parse the pages of a website one after the other."""
    import httpx
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
            if isinstance(item, Sighting):
                yield item
            else:
                pending.append(item)
