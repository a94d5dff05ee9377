"""Inspection of mutated files."""

from itertools import islice

from tests.fuzzing import inspect_mutant, inspection_plan, mutants


def test_mutated_files_give_a_storable_result_in_time() -> None:
    plan = inspection_plan()
    outcomes = {inspect_mutant(data, plan) for data in islice(mutants(1), 300)}
    assert {"valid", "not an image", "truncated", "undecodable"} <= outcomes
