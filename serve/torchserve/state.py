"""State of a server between two commands: one directory per server in the project, with a JSON file."""

import json
import re
from dataclasses import asdict, dataclass
from pathlib import Path

from lightmeter.errors import UsageError
from lightmeter.files import write_atomic
from lightmeter.project import Project
from lightmeter.serve.archive import Archive

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")

_STATE_FILE = "state.json"
_PID_FILE = "java.pid"  # for systemd

DEFAULT_SERVER = "main"


@dataclass(frozen=True)
class ServedModel:
    """One version of one model of a server."""

    name: str
    version: str
    archive: str
    sha256: str

    @classmethod
    def from_archive(cls, archive: Archive) -> "ServedModel":
        """Return the model of an archive, stored as ``NAME-VERSION.mar``."""
        return cls(archive.name, archive.version, f"{archive.name}-{archive.version}.mar", archive.sha256)


@dataclass(frozen=True)
class ServerState:
    """A server that was started.

    Attributes:
        pid: Process id of Java, and session id of Java and its workers.
        inference: URL of the inference API.
        management: URL of the management API (loopback).
        metrics: URL of the Prometheus metrics (loopback).
        grpc: Host and port of gRPC inference.
        temporary: Temporary directory of this server.
        java: Path and version of Java.
        model_api: Whether models can be added and removed while the server runs.
        models: The served models.
    """

    pid: int
    inference: str
    management: str
    metrics: str
    grpc: str
    temporary: str
    java: str
    model_api: bool
    models: tuple[ServedModel, ...]


@dataclass(frozen=True)
class ServerDirectory:
    """The directory of one server of a project.

    Attributes:
        path: The directory.
    """

    path: Path

    @property
    def name(self) -> str:
        """Name of the server."""
        return self.path.name

    @property
    def configuration(self) -> Path:
        """TorchServe's configuration file."""
        return self.path / "config.properties"

    @property
    def archives(self) -> Path:
        """TorchServe's model store: copies of the served archives."""
        return self.path / "archives"

    @property
    def logs(self) -> Path:
        """Directory of the logs."""
        return self.path / "logs"

    @property
    def keys(self) -> Path:
        """The tokens, written by TorchServe and readable by their owner only."""
        return self.path / "key_file.json"

    def read(self) -> ServerState | None:
        """Return the state, or None if no server was started or it was stopped."""
        try:
            values = json.loads((self.path / _STATE_FILE).read_text(encoding="utf-8"))
        except FileNotFoundError:
            return None
        return ServerState(**{**values, "models": tuple(ServedModel(**model) for model in values["models"])})

    def write(self, state: ServerState) -> None:
        """Save the state of a server that was started."""
        write_atomic(self.path / _STATE_FILE, json.dumps(asdict(state), indent=2))
        write_atomic(self.path / _PID_FILE, f"{state.pid}\n")

    def remove(self) -> None:
        """Remove the state of a server that was stopped; keep its logs."""
        for name in (_STATE_FILE, _PID_FILE, self.keys.name):
            (self.path / name).unlink(missing_ok=True)


def server_directory(project: Project, name: str = DEFAULT_SERVER) -> ServerDirectory:
    """Return the directory of a server, which need not exist.

    Raises:
        UsageError: The name cannot be used as a directory name.
    """
    if not _NAME.fullmatch(name):
        raise UsageError(f"Invalid server name '{name}': use up to 100 letters, digits, '.', '_' and '-' (--server).")
    return ServerDirectory(project.state / "serve" / name)
