"""Mutated records of every kind of source: the run ends, no good record is lost, and the counts add up."""

import random
import sqlite3
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lightmeter.harvest.sources.json_text import parse_json
from tests.faults.conftest import Trials
from tests.faults.sources import CASES, KEYS
from tests.faults.test_hostile_values import check
from tests.faults.world import World, files_below
from tests.harvest.sources.mutations import as_json, mutate

STATES = ("fetched", "skipped", "refused", "gone", "failed", "pending")


@pytest.mark.parametrize("name", CASES)
@pytest.mark.trials("mutated records")
def test_mutated_records(name: str, world: World, tmp_path: Path, trials: Trials) -> None:
    outside = files_below(world.outside)
    for number in trials.numbers(1, 5):
        world.restore()
        folder = tmp_path / str(number)
        folder.mkdir()
        count = trials.count(24, 300)
        seed = trials.rng.randrange(2**32)
        with trials.trial(f"{name}, seed {seed}"), CASES[name](folder, count, random.Random(seed)) as listing:
            before = _stored(world)
            command = ("harvest", "run", *listing.arguments, "--metadata-only", "--json")
            result = world.run(*command, env=KEYS | listing.environment, observed=True)
            check(world, result, outside)
            document = result.document
            assert (result.code, document["state"]) == (0, "finished"), document
            assert document["found"] == sum(document[state] for state in STATES), document
            assert document["pending"] == 0, document
            missing = set(listing.good) - (_stored(world) - before)
            assert not missing, f"{len(missing)} good records are missing, for example {min(missing)}"


def _stored(world: World) -> set[str]:
    with sqlite3.connect(world.project / "catalogue.sqlite") as catalogue:
        return {row[0] for row in catalogue.execute("SELECT source_id FROM sightings")}


@given(seed=st.integers(0, 2**32))
def test_json_of_any_depth_is_parsed(seed: int) -> None:
    record = mutate({"a": [1, {"b": 'x"[{'}], "c": "\\"}, random.Random(seed))
    assert parse_json(as_json({"first": record, "last": 1}))["last"] == 1
