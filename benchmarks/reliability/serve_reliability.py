"""Long trials of a server that stays and ends well; the tests have short forms of them.

    python -m benchmarks.reliability.serve_reliability tokens --minutes 5 [--container | --systemd]
    python -m benchmarks.reliability.serve_reliability restarts --clients 24 --restarts 10

``tokens``: a token lifetime of one minute, a client that reads the token from the file once in 20 seconds, one that was
given a token that never expires, and probes without a token. ``--container`` uses the files of ``deploy/`` with
``run.sh``, ``--systemd`` the unit's commands with its user and restrictions (`systemd_unit`, as root),
otherwise ``lightmeter serve start``.

``restarts``: two replicas started by ``run.sh`` behind nginx with ``deploy/nginx.conf``. Clients send photographs
without a pause while the replicas are restarted in turn.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Self

import httpx

from benchmarks.reliability.systemd_unit import SystemdUnit
from lightmeter.project import Project
from lightmeter.serve.gateway.tokens import KEY_VARIABLE
from lightmeter.serve.torchserve.config import free_ports
from lightmeter.serve.torchserve.state import server_directory
from lightmeter.web import free_port
from tests.serve.support import make_photo, make_run, run_in_project
from tests.support import create_project

DEPLOY = Path(__file__).resolve().parents[2] / "deploy"
KEY = "a-key-that-never-expires"
PHOTO = make_photo()


class Replica:
    """A server that ``run.sh`` runs as in the container, on free ports."""

    def __init__(self, folder: Path, archives: Path, **changes: str) -> None:
        self.folder, self.port = folder, free_port()
        folder.mkdir()
        for name in ("config.properties", "metrics.yaml", "ready.sh", "run.sh"):
            shutil.copy(DEPLOY / name, folder)
        shutil.copytree(archives, folder / "archives")
        ports = free_ports()
        text = (folder / "config.properties").read_text().replace("0.0.0.0", "127.0.0.1")
        for old, port in (("8080", self.port), ("8081", ports.management), ("8082", ports.metrics)):
            text = text.replace(f":{old}", f":{port}")
        for old, new in changes.items():
            text = text.replace(old, new)
        text += f"grpc_inference_port={ports.grpc_inference}\ngrpc_management_port={ports.grpc_management}\n"
        (folder / "config.properties").write_text(text)
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
        environment = os.environ | {"PATH": path, "LOG_LOCATION": str(self.folder / "logs"), KEY_VARIABLE: KEY}
        with (self.folder / "console").open("a") as console:
            self.process = subprocess.Popen(
                ["./run.sh"], cwd=self.folder, env=environment, stdout=console, stderr=console, start_new_session=True
            )
        while subprocess.run(["./ready.sh"], cwd=self.folder, check=False).returncode:
            if self.process.poll() is not None:
                raise SystemExit((self.folder / "console").read_text()[-2000:])
            time.sleep(0.3)

    def stop(self) -> None:
        if self.process:
            self.process.terminate()
            code = self.process.wait(150)
            if code:
                raise SystemExit(f"run.sh ended with {code}")


def send(url: str, token: str) -> str:
    """Send a photograph and return the status, or the name of the error."""
    try:
        response = httpx.post(
            f"{url}/predictions/tiny",
            content=PHOTO,
            headers={"Authorization": f"Bearer {token}"},
            trust_env=False,
            timeout=150,
        )
    except httpx.HTTPError as error:
        return type(error).__name__
    return str(response.status_code)


def tokens(project: Project, folder: Path, minutes: float, how: str) -> Counter[tuple[str, str]]:
    with ExitStack() as stack:
        if how == "systemd":
            variables = {"LIGHTMETER_SERVE__TOKEN_MINUTES": "1", KEY_VARIABLE: KEY}
            unit = stack.enter_context(SystemdUnit(project.root, folder, variables))
            print("writable:", [path for path in ("/", "/etc", "/srv", "/root", "/work") if unit.can_write(path)])
            url, file = "http://127.0.0.1:8080", server_directory(project).keys
        elif how == "container":
            replica = Replica(folder / "replica", project.archives, **{"min=1440": "min=1"})
            replica.start()
            stack.callback(replica.stop)
            url, file = f"http://127.0.0.1:{replica.port}", replica.folder / "key_file.json"
        else:
            os.environ |= {"LIGHTMETER_SERVE__TOKEN_MINUTES": "1", KEY_VARIABLE: KEY}
            started = run_in_project("serve", "start", project=project)
            if started.code:
                raise SystemExit(started.error)
            stack.callback(run_in_project, "serve", "stop", project=project)
            url, file = started.document["addresses"]["inference"], server_directory(project).keys
        results: Counter[tuple[str, str]] = Counter()
        end, token, read_at = time.monotonic() + 60 * minutes, "", -60.0
        seen = set()
        while time.monotonic() < end:
            if time.monotonic() - read_at > 20:
                token, read_at = json.loads(file.read_text())["inference"]["key"], time.monotonic()
                seen.add(token)
            results["token of the file", send(url, token)] += 1
            results["token that never expires", send(url, KEY)] += 1
            results["probe", str(httpx.get(f"{url}/ping", trust_env=False).status_code)] += 1
            if how == "command":
                predicted = run_in_project("serve", "predict", "tiny", folder / "photo.jpg", project=project)
                results["serve predict", f"exit code {predicted.code}"] += 1
            time.sleep(1)
        results["tokens", "published"] = len(seen)
        return results


def restarts(project: Project, folder: Path, clients: int, count: int) -> Counter[tuple[str, str]]:
    replicas = [Replica(folder / name, project.archives) for name in ("serve-1", "serve-2")]
    with ExitStack() as stack:
        for replica in replicas:
            replica.start()
            stack.callback(replica.stop)
        url = stack.enter_context(Front(folder, replicas)).url
        results: Counter[tuple[str, str]] = Counter()
        finished = threading.Event()

        def work() -> None:
            while not finished.is_set():
                results["request", send(url, KEY)] += 1

        threads = [threading.Thread(target=work) for _ in range(clients)]
        for thread in threads:
            thread.start()
        for number in range(count):
            replica = replicas[number % 2]
            replica.stop()
            replica.start()
            results["replica", "restarted"] += 1
        finished.set()
        for thread in threads:
            thread.join()
        return results


class Front:
    """nginx with the configuration of ``deploy/``, without TLS."""

    def __init__(self, folder: Path, replicas: list[Replica]) -> None:
        port = free_port()
        text = (DEPLOY / "nginx.conf").read_text()
        for replica in replicas:
            text = text.replace(f"{replica.folder.name}:8080", f"127.0.0.1:{replica.port}")
        lines = [line for line in text.splitlines() if "ssl_certificate" not in line]
        text = "\n".join(lines).replace("listen 8443 ssl", f"listen 127.0.0.1:{port}")
        self._configuration = folder / "nginx.conf"
        self._log = folder / "nginx.log"
        self._configuration.write_text(f"pid {folder}/nginx.pid;\nerror_log {self._log} error;\ndaemon off;\n{text}")
        self.url = f"http://127.0.0.1:{port}"

    def __enter__(self) -> Self:
        self._process = subprocess.Popen(["nginx", "-c", str(self._configuration)])
        wait_for(lambda: httpx.get(f"{self.url}/ping", trust_env=False).status_code == 200)
        return self

    def __exit__(self, *_: object) -> None:
        self._process.terminate()
        self._process.wait()
        print(self._log.read_text()[-3000:])


def wait_for(condition: Callable[[], bool]) -> None:
    for _ in range(300):
        with suppress(httpx.HTTPError):
            if condition():
                return
        time.sleep(0.1)
    raise SystemExit("timeout")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("trial", choices=("tokens", "restarts"))
    parser.add_argument("--minutes", type=float, default=5)
    how = parser.add_mutually_exclusive_group()
    for name in ("container", "systemd"):
        how.add_argument(f"--{name}", dest="how", action="store_const", const=name, default="command")
    parser.add_argument("--clients", type=int, default=24)
    parser.add_argument("--restarts", type=int, default=10)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="reliability-") as name:
        folder = Path(name)
        (folder / "photo.jpg").write_bytes(PHOTO)
        project = create_project(folder / "project")
        make_run(project.runs / "tiny", "tiny")
        run_in_project("serve", "archive", "tiny", project=project)
        if args.trial == "tokens":
            results = tokens(project, folder, args.minutes, args.how)
        else:
            results = restarts(project, folder, args.clients, args.restarts)
    for (what, outcome), count in sorted(results.items()):
        print(f"{what}: {outcome}: {count}")


if __name__ == "__main__":
    main()
