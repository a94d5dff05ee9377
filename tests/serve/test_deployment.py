"""The files in ``deploy/``: what they start is really ready when their probe says so."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
import yaml

from lightmeter.project import Project
from serve.config import choose_ports, declared_metrics
from serve.java import find_java
from tests.serve.support import make_photograph

DEPLOY = Path(__file__).resolve().parents[2] / "deploy"


@dataclass(frozen=True)
class Container:
    """What the image would run, here: the same scripts and configuration, on free ports."""

    folder: Path
    environment: dict[str, str]
    inference: str

    def ready(self) -> bool:
        """Tell what the probe says."""
        return subprocess.run(["./ready.sh"], cwd=self.folder, env=self.environment, check=False).returncode == 0


@pytest.fixture(params=["", "--disable-token-auth"], ids=["tokens", "no tokens"])
def container(place: Project, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Container]:
    for name in ("config.properties", "metrics.yaml", "ready.sh", "run.sh"):
        shutil.copy(DEPLOY / name, tmp_path)
    shutil.copytree(place.archives, tmp_path / "archives")
    ports = choose_ports("127.0.0.1")
    written = (tmp_path / "config.properties").read_text()
    for old, new in (("8080", ports.inference), ("8081", ports.management), ("8082", ports.metrics)):
        written = written.replace(f":{old}", f":{new}")
    grpc = f"grpc_inference_port={ports.grpc_inference}\ngrpc_management_port={ports.grpc_management}\n"
    (tmp_path / "config.properties").write_text(written.replace("0.0.0.0", "127.0.0.1") + grpc)
    (tmp_path / "tmp").mkdir()
    environment = {
        "PATH": f"{Path(sys.executable).parent}:{find_java().path.parent}:/usr/bin:/bin",
        "TORCHSERVE_OPTIONS": request.param,
        "MANAGEMENT_PORT": str(ports.management),
        "LOG_LOCATION": str(tmp_path / "logs"),
        "METRICS_LOCATION": str(tmp_path / "logs"),
    }
    with (tmp_path / "console").open("w") as console:
        process = subprocess.Popen(
            ["./run.sh"], cwd=tmp_path, env=environment, stdout=console, stderr=console, start_new_session=True
        )
    yield Container(tmp_path, environment, f"http://127.0.0.1:{ports.inference}")
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()


@pytest.mark.server
@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")
def test_what_the_image_runs_answers_when_its_probe_says_ready(container: Container) -> None:
    assert not container.ready()
    deadline = time.monotonic() + 90
    while not container.ready():
        assert time.monotonic() < deadline, (container.folder / "console").read_text()[-3000:]
        time.sleep(0.3)

    keys = container.folder / "key_file.json"
    headers = {"Content-Type": "application/octet-stream"}
    if keys.is_file():
        headers["Authorization"] = f"Bearer {json.loads(keys.read_text())['inference']['key']}"
    answer = httpx.post(
        f"{container.inference}/predictions/tiny", content=make_photograph(), headers=headers, trust_env=False
    )

    assert keys.is_file() == (container.environment["TORCHSERVE_OPTIONS"] == "")
    assert answer.status_code == 200, answer.text
    assert answer.json()["model"] == "tiny"


def test_the_metrics_declared_are_those_that_are_reported() -> None:
    assert yaml.safe_load((DEPLOY / "metrics.yaml").read_text(encoding="utf-8")) == declared_metrics()


def test_everything_that_the_image_copies_is_there() -> None:
    copied = re.findall(r"^COPY --chown=serve (.*) \S+$", (DEPLOY / "Dockerfile").read_text(), re.MULTILINE)

    names = [name for line in copied for name in line.split() if "*" not in name]
    assert {"config.properties", "metrics.yaml", "ready.sh", "run.sh"} <= set(names)
    for name in names:
        assert (DEPLOY / name).is_file(), name


def test_the_cluster_asks_the_workers_and_not_ping() -> None:
    deployment, service = yaml.safe_load_all((DEPLOY / "kubernetes.yaml").read_text(encoding="utf-8"))
    (container,) = deployment["spec"]["template"]["spec"]["containers"]

    for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
        assert container[probe]["exec"]["command"] == ["./ready.sh"]
    assert {port["name"] for port in container["ports"]} == {"inference", "metrics"}
    assert service["spec"]["ports"][0]["targetPort"] == "inference"
