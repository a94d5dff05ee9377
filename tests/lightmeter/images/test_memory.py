"""A worker keeps freed memory for the next prediction."""

import subprocess
import sys

import pytest

PROGRAM = """
import resource
import sys

import numpy as np

from lightmeter.images.memory import keep_freed_memory

if sys.argv[1] == "keep":
    keep_freed_memory()
for _ in range(20):
    start = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    blocks = [np.ones(20_000_000, np.uint8) for _ in range(5)]
    del blocks
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - start)
"""


def page_faults(mode: str) -> int:
    """Return the number of page faults of the last of 20 rounds."""
    result = subprocess.run([sys.executable, "-c", PROGRAM, mode], capture_output=True, text=True, check=True)
    return int(result.stdout)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="memory allocation differs on other systems")
def test_freed_memory_is_reused() -> None:
    default = page_faults("default")
    if default < 1000:
        pytest.skip("this C library keeps freed memory by default")

    assert page_faults("keep") < default / 10
