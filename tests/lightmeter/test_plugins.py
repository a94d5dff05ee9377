"""Plugins are discovered through entry points; a broken one is reported and does not affect the others."""

import json
import sys
from pathlib import Path

import pytest

from lightmeter import plugins
from lightmeter.cli import main
from lightmeter.errors import LightmeterError, UsageError


@pytest.fixture
def broken_plugin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An installed distribution with a source plugin that cannot be imported."""
    info = tmp_path / "lightmeter_source_broken-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: lightmeter-source-broken\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[lightmeter.sources]\nbroken = no_such_module:Source\n")
    monkeypatch.syspath_prepend(str(tmp_path))


def test_built_in_sources_are_installed() -> None:
    assert {"folder", "simulator", "website"} <= set(plugins.installed("sources"))


def test_unknown_name_suggests_similar_names() -> None:
    with pytest.raises(UsageError, match="did you mean folder"):
        plugins.get("sources", "foldr")


def test_broken_plugin_error_names_its_distribution(broken_plugin: None) -> None:
    with pytest.raises(LightmeterError, match=r"'broken' of lightmeter-source-broken 1\.0"):
        plugins.get("sources", "broken").load()


def test_broken_plugin_does_not_affect_others(
    broken_plugin: None, project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["harvest", "sources", "--json"]) == 0
    rows = {row["name"]: row for row in json.loads(capsys.readouterr().out)}
    assert rows["folder"]["ready"]
    assert not rows["broken"]["ready"]
    assert main(["harvest", "run", "broken"]) == 1
    assert main(["harvest", "run", "--help"]) == 0
    assert "no_such_module" not in sys.modules
