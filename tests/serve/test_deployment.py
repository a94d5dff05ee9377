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
from configparser import ConfigParser
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
import yaml

from lightmeter.project import Project
from lightmeter.serve.torchserve.config import choose_ports, declared_metrics
from lightmeter.serve.torchserve.java import find_java
from tests.serve.support import make_photograph
from tests.support import run_command

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


def unit() -> ConfigParser:
    parser = ConfigParser(interpolation=None, strict=False)
    parser.optionxform = str
    parser.read(DEPLOY / "lightmeter.service", encoding="utf-8")
    return parser


def test_the_unit_starts_and_stops_a_server(second: Project) -> None:
    service = unit()["Service"]
    port = choose_ports("127.0.0.1").inference

    def run(line: str) -> None:
        command, *words = line.replace("--port 8080", f"--port {port}").split()
        assert Path(command).name == "lightmeter"
        subprocess.run([sys.executable, "-m", "lightmeter", *words], cwd=second.root, check=True, capture_output=True)

    run(service["ExecStart"])
    status = run_command("serve", "status", "--json", project=second.root).document
    pid = second.root / Path(service["PIDFile"]).relative_to(service["WorkingDirectory"])
    watched = int(pid.read_text())
    run(service["ExecStop"])

    assert status["addresses"]["inference"].endswith(f":{port}")
    assert status["models"][0]["ready"]
    assert watched == status["pid"]
    assert not pid.exists()
    assert run_command("serve", "status", "--json", project=second.root).document["running"] is False


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd is not installed")
def test_systemd_accepts_the_unit(tmp_path: Path) -> None:
    copy = tmp_path / "lightmeter.service"
    text = (DEPLOY / "lightmeter.service").read_text(encoding="utf-8")
    copy.write_text(text.replace("/srv/lightmeter/venv/bin/lightmeter", "/bin/true"), encoding="utf-8")

    done = subprocess.run(["systemd-analyze", "verify", copy], capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stderr
    assert done.stderr == ""


def test_the_image_installs_what_an_archive_was_tested_with() -> None:
    text = (DEPLOY / "Dockerfile").read_text(encoding="utf-8").replace("\\\n", " ")
    lines = [line for line in re.split("&&|\n", text) if "pip install" in line]
    words = [word.strip('"') for line in lines for word in line.split("pip install")[1].split()]
    installed = {re.split("[<>=]", word)[0] for word in words if not word.startswith(("-", "http"))}

    assert installed == {"torch", "numpy", "pillow", "safetensors", "pyyaml", "torchserve"}


def test_the_services_fit_together() -> None:
    services = yaml.safe_load((DEPLOY / "compose.yaml").read_text(encoding="utf-8"))["services"]
    written = (DEPLOY / "config.properties").read_text(encoding="utf-8")
    (port,) = re.findall(r"^inference_address=http://0\.0\.0\.0:(\d+)$", written, re.MULTILINE)

    assert services["serve"]["build"] == "."
    assert f"--to serve:{port}" in services["proxy"]["command"]
    assert services["proxy"]["depends_on"]["serve"]["condition"] == "service_healthy"
    assert "\nHEALTHCHECK " in (DEPLOY / "Dockerfile").read_text(encoding="utf-8")
    assert all(published.startswith("127.0.0.1:") for published in services["proxy"]["ports"])
