"""The operator's day: simulate, harvest, look at failures, check the installation, make tokens."""

from pathlib import Path

import pytest

from tests.journeys.support import Journey, write_photographs
from tests.support import CommandRunner


@pytest.fixture
def journey(all_commands: CommandRunner, tmp_path: Path) -> Journey:
    return Journey(all_commands, tmp_path)


def test_operator_keeps_a_project_going(journey: Journey) -> None:
    photographs = write_photographs(journey.home / "photographs", 2)
    assert "6 photographs would be downloaded" in journey(f"harvest run folder {photographs} --simulate").output
    assert journey("catalogue info --json").document["rows"]["sightings"] == 0
    harvested = journey(f"harvest run folder {photographs} --owner-from-folders --medium digital")
    assert "6 fetched" in harvested.output
    assert "Next: lightmeter labels apply" in harvested.error
    (journey.home / "broken").mkdir()
    (journey.home / "broken" / "a.jpg").write_text("no photograph")
    failed = journey(f"harvest run folder {journey.home / 'broken'}", code=1)
    assert "harvest status" in failed.error
    assert "not an image" in journey("harvest status").output
    doctor = journey("doctor", LC_ALL="C", PYTHONUTF8="0", PYTHONCOERCECLOCALE="0")
    assert "extra: litserve" in doctor.output
    token = journey("serve token --rotate").output.strip()
    assert journey("serve token").output.strip() == token
    assert "Server 'main' is not running." in journey("serve status", code=1).output
    error = journey("serve predict tiny photographs/0.jpg --url museum", code=2).error
    assert "is not the URL of a server" in error
