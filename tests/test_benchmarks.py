"""The harness of the benchmarks: rounds, errors and the page; ``make bench`` runs the benchmarks themselves."""

import importlib
import json
import threading

import pytest

bench = pytest.importorskip("benchmarks.speed.bench", reason="the benchmarks are not beside the tests")
from benchmarks.speed import performance_page  # noqa: E402
from benchmarks.speed.measurement import Contender, Goal, Row, measure, time_limit  # noqa: E402


def test_contenders_are_measured_in_turn_and_an_error_stops_only_its_own() -> None:
    order: list[str] = []

    def value(name: str) -> dict[str, float]:
        order.append(name)
        if name == "b":
            raise OSError("not installed")
        return {"speed": float(len(order))}

    saved: list[dict[str, Row]] = []
    measure([Contender(name, lambda name=name: value(name)) for name in "abc"], 3, 60, saved.append)
    assert order == ["a", "b", "c", "a", "c", "a", "c"]
    assert saved[-1]["a"].values == {"speed": [1.0, 4.0, 6.0]}
    assert saved[-1]["b"].error == "OSError: not installed"
    assert len(saved) == 9, "the result is saved after every measurement"


def test_no_round_is_started_that_would_end_too_late() -> None:
    saved: list[dict[str, Row]] = []
    measure([Contender("a", lambda: {"x": 1.0})], 3, 0, saved.append)
    assert len(saved) <= 1


def test_rounds_that_are_missing_are_added() -> None:
    earlier = {"a": Row({"x": [1.0, 2.0]}), "b": Row({"x": [3.0]})}
    saved: list[dict[str, Row]] = []
    measure([Contender(name, lambda: {"x": 9.0}) for name in "ab"], 3, 60, saved.append, earlier)
    assert saved[-1]["a"].values == {"x": [1.0, 2.0, 9.0]}
    assert saved[-1]["b"].values == {"x": [3.0, 9.0, 9.0]}


def test_a_row_of_serving_is_measured_without_those_before_it(monkeypatch: pytest.MonkeyPatch) -> None:
    serve = importlib.import_module("benchmarks.speed.serve")
    monkeypatch.setattr(serve, "SECONDS", 0.01)
    *_, last = serve.table({"torch in this process": len, "served": len}, {}, [b""])
    assert set(last.measure()) == {serve.LATENCY, serve.THROUGHPUT}


def test_a_step_that_takes_too_long_is_named() -> None:
    with pytest.raises(TimeoutError, match=r"Starting it took longer than 0\.01 s"), time_limit("Starting it", 0.01):
        threading.Event().wait(10)


def result(**changes: object) -> dict[str, object]:
    machine = {"machine": "a machine", "system": "Linux", "load": "0.0", "commit": "abc", "versions": "torch 2"}
    rows = {"ours": {"values": {"speed": [9.0, 30.0, 20.0]}, "error": ""}, "theirs": {"values": {}, "error": "missing"}}
    goals = [{"text": "speed", "row": "ours", "limits": {"speed": 10}, "relative_to": None, "at_most": False}]
    head = {"title": "Speed", "text": "What.", "digits": 0, "date": "today", "machine": machine, "comparators": {}}
    return {**head, "rows": rows, "goals": goals, **changes}


def test_page_has_median_minimum_maximum_goals_and_errors() -> None:
    page = performance_page.page({"speed": result()})
    assert "| ours | 20 (9–30) |" in page
    assert "| theirs | - |" in page
    assert "| speed | speed | 20.00 | at least 10: met |" in page
    assert "theirs: missing." in page


def test_page_names_what_was_not_measured() -> None:
    failed = result(error="stopped after 60 s", rows={})
    section = performance_page.section("speed", failed)
    assert "| speed | speed | not measured | at least 10 |" in section
    assert "stopped after 60 s" in section


def test_registry_names_benchmarks_whose_goals_fit_together() -> None:
    assert sum(entry.seconds for entry in bench.REGISTRY.values()) <= bench.TOTAL_SECONDS
    for entry in bench.REGISTRY.values():
        module, attribute = entry.benchmark.split(":")
        benchmark = getattr(importlib.import_module(module), attribute)
        assert all(isinstance(goal, Goal) for goal in benchmark.goals)


def test_results_are_valid_and_make_the_page() -> None:
    if not bench.RESULTS.exists():
        pytest.skip("nothing was measured yet")
    results = json.loads(bench.RESULTS.read_text(encoding="utf-8"))
    gpu = json.loads(bench.GPU_RESULTS.read_text(encoding="utf-8"))
    assert bench.PAGE.read_text(encoding="utf-8") == performance_page.page(results, gpu)
