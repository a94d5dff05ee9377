"""Short form of ``benchmarks/fuzz_sources.py``: mutated records between good ones, without the engine."""

import random
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from benchmarks import fuzz_sources
from lightmeter.harvest.catalogue.records import CleanRecord, clean_record
from lightmeter.harvest.sources.base import Checkpoint
from lightmeter.harvest.sources.ffhq import Ffhq
from lightmeter.harvest.sources.folder import Folder
from lightmeter.harvest.sources.json_text import parse_json
from lightmeter.harvest.sources.reddit import Reddit
from lightmeter.harvest.sources.urls import Urls
from lightmeter.harvest.sources.visual_genome import VisualGenome
from lightmeter.settings import Settings
from tests.harvest.sources.mutations import as_json, mutate

SOURCES: dict[str, Any] = {
    "reddit-dump": lambda args: (Reddit, {"subreddit": args[1], "dump": args[3]}),
    "ffhq": lambda args: (Ffhq, {"file": args[1]}),
    "visual-genome": lambda args: (VisualGenome, {"file": args[1]}),
    "urls-csv": lambda args: (Urls, {"file": args[1]}),
    "folder": lambda args: (Folder, {"path": args[1]}),
}


@pytest.mark.parametrize("name", SOURCES)
@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(seed=st.integers(0, 2**32))
def test_mutated_records_lose_no_good_ones(name: str, seed: int, tmp_path_factory: pytest.TempPathFactory) -> None:
    folder: Path = tmp_path_factory.mktemp("fuzz")
    with fuzz_sources.CASES[name](folder, 20, random.Random(seed)) as (arguments, good):
        source, query = SOURCES[name](arguments)
        items = list(source(Settings()).discover(source.Query(**query), None))
    records = [clean_record(item, name) for item in items if not isinstance(item, Checkpoint)]
    ids = [record.item.source_id for record in records if isinstance(record, CleanRecord)]
    assert set(good) <= set(ids)


@given(seed=st.integers(0, 2**32))
def test_json_of_any_depth_is_parsed(seed: int) -> None:
    record = mutate({"a": [1, {"b": 'x"[{'}], "c": "\\"}, random.Random(seed))
    assert parse_json(as_json({"first": record, "last": 1}))["last"] == 1
