"""``lightmeter demo``: the full pipeline, from a crawled site to a prediction of TorchServe."""

from pathlib import Path

import psutil
import pytest

from tests.support import Lightmeter


@pytest.mark.server
@pytest.mark.timeout(600)
def test_demo_runs_full_pipeline(lightmeter: Lightmeter, tmp_path: Path) -> None:
    folder = tmp_path / "demo"
    result = lightmeter("demo", folder, "--count", "72")
    assert all(Path(path).exists() for path in result["outputs"].values())
    assert result["predictions"]
    for prediction in result["predictions"]:
        assert prediction["served"] == prediction["local"]
    harvest = next(step["result"] for step in result["steps"] if "Crawl" in step["name"])
    assert harvest == "74 found, 72 fetched, 1 gone, 1 failed"
    assert not [p for p in psutil.process_iter(["cmdline"]) if str(folder) in " ".join(p.info["cmdline"] or [])]


def test_demo_rejects_folder_that_is_not_empty(lightmeter: Lightmeter, tmp_path: Path) -> None:
    (tmp_path / "mine").touch()
    completed = lightmeter.process("demo", tmp_path)
    assert completed.returncode == 2
    assert "already exists" in completed.stderr
    assert list(tmp_path.iterdir()) == [tmp_path / "mine"]
