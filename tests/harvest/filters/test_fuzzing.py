"""Mutated files of every format: an answer comes back, in time, and it can be stored."""

from itertools import islice

from tests.fuzzing import mutants, plan, survive


def test_mutated_files_are_survived() -> None:
    what = plan()
    outcomes = {survive(data, what) for data in islice(mutants(1), 300)}
    assert {"sound", "not an image", "truncated", "undecodable"} <= outcomes
