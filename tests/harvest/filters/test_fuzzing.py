"""Inspection of mutated files."""

from itertools import islice

from tests.fuzzing import inspect_file, inspection_plan, mutate_files


def test_mutated_files_give_a_storable_result_in_time() -> None:
    plan = inspection_plan()
    outcomes = {inspect_file(data, plan) for data in islice(mutate_files(1), 300)}
    assert {"valid", "not an image", "truncated", "undecodable"} <= outcomes
