"""The operator's days: a project that keeps going, and a server that does."""

import json
import subprocess
from pathlib import Path

import httpx
import pytest

from lightmeter.models.runtime.spec import Preprocessing
from lightmeter.serve.torchserve.config import free_ports
from tests.journeys.support import Journey, write_photographs
from tests.serve.support import make_untrained_run
from tests.support import CommandRunner, jpeg, wait_until


@pytest.fixture
def journey(lightmeter: CommandRunner, tmp_path: Path) -> Journey:
    return Journey(lightmeter, tmp_path)


def test_operator_keeps_a_project_going(journey: Journey) -> None:
    photographs = write_photographs(journey.home / "photographs", 2)
    assert "6 photographs would be downloaded" in journey(f"harvest run folder {photographs} --simulate").output
    assert journey.document("catalogue info")["rows"]["sightings"] == 0
    harvested = journey(f"harvest run folder {photographs} --owner-from-folders --medium digital")
    assert "6 fetched" in harvested.output
    assert "Next: lightmeter labels apply" in harvested.error
    (journey.home / "broken").mkdir()
    (journey.home / "broken" / "a.jpg").write_text("no photograph")
    failed = journey(f"harvest run folder {journey.home / 'broken'}", code=1)
    assert "harvest status" in failed.error
    assert "not an image" in journey("harvest status").output
    doctor = journey("doctor", LC_ALL="C", PYTHONUTF8="0", PYTHONCOERCECLOCALE="0")
    assert "serve models with LitServe" in doctor.output


@pytest.mark.server
def test_operator_runs_a_server(journey: Journey) -> None:
    make_untrained_run(journey.project / "runs" / "tiny", "small-cnn", Preprocessing(patches=0, view_size=32))
    photo = journey.home / "photo.jpg"
    photo.write_bytes(jpeg(1))
    ports = dict(zip(("management", "metrics", "grpc", "inference"), free_ports(), strict=True))
    with (journey.project / "lightmeter.toml").open("a") as settings:
        settings.write("\n[serve]\nlog_format = 'json'\n")
        settings.writelines(f"{name}_port = {ports[name]}\n" for name in ("management", "metrics", "grpc"))
        settings.write(f"port = {ports['inference']}\n")
    assert "Server 'main' is not running." in journey("serve status", code=1).output
    assert "Next: lightmeter serve start" in journey("serve archive tiny").error
    started = journey.document("serve start --server blue")
    assert {name: int(url.rpartition(":")[2]) for name, url in started["addresses"].items()} == ports
    try:
        assert "port" in journey("serve start --server green", code=2).error

        # a key that clients on other machines keep, until it is replaced
        first = journey("serve token --rotate").output.strip()
        assert journey("serve token").output.strip() == first
        (journey.home / "key").write_text(first)
        (journey.home / "key").chmod(0o600)
        address = started["addresses"]["inference"]
        remote = f"serve predict tiny {photo} --url {address} --token file:{journey.home / 'key'}"
        assert "shutter" in journey.document(remote)[0]["predictions"]
        journey("serve token --rotate")
        assert journey.document(remote, code=1)[0]["error"]["status"] == 401
        error = journey("serve predict tiny photo.jpg --url museum", code=2).error
        assert "is not the URL of a server" in error

        # metrics, and who asked for what
        metrics = httpx.get(f"{started['addresses']['metrics']}/metrics", trust_env=False).text
        assert 'lightmeter_requests_total{model_name="tiny",model_version="1.0",status="200"' in metrics
        key = json.loads(Path(started["tokens"]).read_text())["inference"]["key"]
        headers = {"Authorization": f"Bearer {key}", "X-Request-ID": "museum-7"}
        url = f"{address}/predictions/tiny"
        response = httpx.post(url, content=b"no photograph", headers=headers, trust_env=False)
        assert (response.status_code, response.headers["X-Request-ID"]) == (415, "museum-7")
        console = Path(started["logs"]) / "console.log"
        wait_until(lambda: "museum-7" in console.read_text())
        line = next(json.loads(line) for line in console.read_text().splitlines() if "museum-7" in line)
        assert (line["status"], line["path"]) == (415, "/predictions/tiny")

        # a restart, watched in the log of another terminal
        command = journey.runner.command(
            "--project", journey.project, "serve", "logs", "--server", "blue", "-f", "-n", 1
        )
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as log:
            assert log.stdout
            assert log.stdout.readline()
            restarted = journey.document("serve restart --server blue")
            assert log.stdout.readline()
            log.terminate()
        assert restarted["addresses"] == started["addresses"]
        assert restarted["pid"] != started["pid"]
        status = journey.document("serve status")
        assert {row["server"]: row["running"] for row in status["servers"]} == {"blue": True, "green": False}
        text = journey("serve status", COLUMNS="200").output
        assert all(part in text for part in (*started["addresses"].values(), started["logs"], started["tokens"]))
        assert journey(f"serve predict tiny {photo} --server blue").code == 0
    finally:
        journey("serve stop --server blue")
