"""The files in ``deploy/``: scripts and configuration work, and agree with each other."""

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
from lightmeter.serve.torchserve.config import declared_metrics, free_ports
from lightmeter.serve.torchserve.java import find_java
from tests.serve.support import make_photo, run_in_project

DEPLOY = Path(__file__).resolve().parents[3] / "deploy"


@dataclass(frozen=True)
class Container:
    """The scripts and the configuration of the image, run without a container on free ports."""

    folder: Path
    environment: dict[str, str]
    url: str

    def ready(self) -> bool:
        """Return the result of the readiness probe."""
        return subprocess.run(["./ready.sh"], cwd=self.folder, env=self.environment, check=False).returncode == 0


@pytest.fixture(params=["", "--disable-token-auth"], ids=["tokens", "no tokens"])
def container(serve_project: Project, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Container]:
    for name in ("config.properties", "metrics.yaml", "ready.sh", "run.sh"):
        shutil.copy(DEPLOY / name, tmp_path)
    shutil.copytree(serve_project.archives, tmp_path / "archives")
    ports = free_ports("127.0.0.1")
    configuration = (tmp_path / "config.properties").read_text()
    for old, new in (("8080", ports.inference), ("8081", ports.management), ("8082", ports.metrics)):
        configuration = configuration.replace(f":{old}", f":{new}")
    grpc = f"grpc_inference_port={ports.grpc_inference}\ngrpc_management_port={ports.grpc_management}\n"
    (tmp_path / "config.properties").write_text(configuration.replace("0.0.0.0", "127.0.0.1") + grpc)
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
def test_image_predicts_once_its_probe_reports_ready(container: Container) -> None:
    assert not container.ready()
    deadline = time.monotonic() + 90
    while not container.ready():
        assert time.monotonic() < deadline, (container.folder / "console").read_text()[-3000:]
        time.sleep(0.3)

    keys = container.folder / "key_file.json"
    headers = {"Content-Type": "application/octet-stream"}
    if keys.is_file():
        headers["Authorization"] = f"Bearer {json.loads(keys.read_text())['inference']['key']}"
    response = httpx.post(f"{container.url}/predictions/tiny", content=make_photo(), headers=headers, trust_env=False)

    assert keys.is_file() == (container.environment["TORCHSERVE_OPTIONS"] == "")
    assert response.status_code == 200, response.text
    assert response.json()["model"] == "tiny"


def test_declared_metrics_match_reported_metrics() -> None:
    assert yaml.safe_load((DEPLOY / "metrics.yaml").read_text(encoding="utf-8")) == declared_metrics()


def test_files_copied_into_the_image_exist() -> None:
    copy_lines = re.findall(r"^COPY --chown=serve (.*) \S+$", (DEPLOY / "Dockerfile").read_text(), re.MULTILINE)

    names = [name for line in copy_lines for name in line.split() if "*" not in name]
    assert {"config.properties", "metrics.yaml", "ready.sh", "run.sh"} <= set(names)
    for name in names:
        assert (DEPLOY / name).is_file(), name


def test_kubernetes_probes_check_the_workers() -> None:
    deployment, service = yaml.safe_load_all((DEPLOY / "kubernetes.yaml").read_text(encoding="utf-8"))
    (container,) = deployment["spec"]["template"]["spec"]["containers"]

    for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
        assert container[probe]["exec"]["command"] == ["./ready.sh"]
    assert {port["name"] for port in container["ports"]} == {"inference", "metrics"}
    assert service["spec"]["ports"][0]["targetPort"] == "inference"


def systemd_unit() -> ConfigParser:
    parser = ConfigParser(interpolation=None, strict=False)
    parser.optionxform = str
    parser.read(DEPLOY / "lightmeter.service", encoding="utf-8")
    return parser


def test_systemd_unit_starts_and_stops_a_server(second_project: Project) -> None:
    service = systemd_unit()["Service"]
    port = free_ports("127.0.0.1").inference

    def run(line: str) -> None:
        command, *args = line.replace("--port 8080", f"--port {port}").split()
        assert Path(command).name == "lightmeter"
        subprocess.run(
            [sys.executable, "-m", "lightmeter", *args], cwd=second_project.root, check=True, capture_output=True
        )

    run(service["ExecStart"])
    status = run_in_project("serve", "status", project=second_project).document
    pid = second_project.root / Path(service["PIDFile"]).relative_to(service["WorkingDirectory"])
    systemd_pid = int(pid.read_text())
    run(service["ExecStop"])

    assert status["addresses"]["inference"].endswith(f":{port}")
    assert status["models"][0]["ready"]
    assert systemd_pid == status["pid"]
    assert not pid.exists()
    assert run_in_project("serve", "status", project=second_project).document["running"] is False


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd is not installed")
def test_systemd_unit_is_valid(tmp_path: Path) -> None:
    copy = tmp_path / "lightmeter.service"
    text = (DEPLOY / "lightmeter.service").read_text(encoding="utf-8")
    copy.write_text(text.replace("/srv/lightmeter/venv/bin/lightmeter", "/bin/true"), encoding="utf-8")

    result = subprocess.run(["systemd-analyze", "verify", copy], capture_output=True, text=True, check=False)

    assert result.returncode == 0, result.stderr
    assert result.stderr == ""


def test_image_installs_the_requirements_of_archives() -> None:
    text = (DEPLOY / "Dockerfile").read_text(encoding="utf-8").replace("\\\n", " ")
    lines = [line for line in re.split("&&|\n", text) if "pip install" in line]
    requirements = [word.strip('"') for line in lines for word in line.split("pip install")[1].split()]
    installed = {re.split("[<>=]", word)[0] for word in requirements if not word.startswith(("-", "http"))}

    assert installed == {"torch", "numpy", "pillow", "safetensors", "pyyaml", "torchserve"}


def test_compose_services_agree_with_configuration() -> None:
    services = yaml.safe_load((DEPLOY / "compose.yaml").read_text(encoding="utf-8"))["services"]
    configuration = (DEPLOY / "config.properties").read_text(encoding="utf-8")
    (port,) = re.findall(r"^inference_address=http://0\.0\.0\.0:(\d+)$", configuration, re.MULTILINE)

    assert services["serve"]["build"] == "."
    assert f"--to serve:{port}" in services["proxy"]["command"]
    assert services["proxy"]["depends_on"]["serve"]["condition"] == "service_healthy"
    assert "\nHEALTHCHECK " in (DEPLOY / "Dockerfile").read_text(encoding="utf-8")
    assert all(mapping.startswith("127.0.0.1:") for mapping in services["proxy"]["ports"])
