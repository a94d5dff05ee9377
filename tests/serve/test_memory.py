"""A worker keeps the memory that a prediction has used, for the next one."""

import subprocess
import sys

import pytest

PROGRAM = """
import resource
import sys

import numpy as np

from lightmeter.models.runtime.memory import keep_freed_memory

if sys.argv[1] == "kept":
    keep_freed_memory()
for _ in range(20):
    begun = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    blocks = [np.ones(20_000_000, np.uint8) for _ in range(5)]
    del blocks
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - begun)
"""


def faults(how: str) -> int:
    """Return how often the system was asked for a page in the last of many rounds."""
    done = subprocess.run([sys.executable, "-c", PROGRAM, how], capture_output=True, text=True, check=True)
    return int(done.stdout)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="how other systems free memory is theirs")
def test_freed_memory_is_not_asked_for_again() -> None:
    given_back = faults("given back")
    if given_back < 1000:
        pytest.skip("this C library keeps memory by itself")

    assert faults("kept") < given_back / 10
