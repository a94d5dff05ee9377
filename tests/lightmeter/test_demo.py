"""``lightmeter demo``: the whole chain, from a crawled site to an answer from TorchServe."""

from pathlib import Path

import psutil
import pytest

from tests.support import Lightmeter


@pytest.mark.server
@pytest.mark.timeout(600)
def test_the_whole_chain(lightmeter: Lightmeter, tmp_path: Path) -> None:
    folder = tmp_path / "demo"
    done = lightmeter("demo", folder, "--count", "72")
    assert all(Path(path).exists() for path in done["look"].values())
    assert done["answers"]
    for answer in done["answers"]:
        assert answer["served"] == answer["here"]  # the same numbers, bit for bit
    harvested = next(step["came_of_it"] for step in done["steps"] if "crawled" in step["what"])
    assert harvested == "74 found, 72 fetched, 1 gone, 1 failed"
    assert not [p for p in psutil.process_iter(["cmdline"]) if str(folder) in " ".join(p.info["cmdline"] or [])]


def test_a_folder_that_holds_something_is_left_alone(lightmeter: Lightmeter, tmp_path: Path) -> None:
    (tmp_path / "mine").touch()
    done = lightmeter.process("demo", tmp_path)
    assert done.returncode == 2
    assert "is there already" in done.stderr
    assert list(tmp_path.iterdir()) == [tmp_path / "mine"]
