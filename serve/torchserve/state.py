"""What is remembered of a server between two commands: one folder in the project's state, with one JSON file."""

import json
import re
from dataclasses import asdict, dataclass
from pathlib import Path

from lightmeter.errors import UsageError
from lightmeter.files import write_atomic
from lightmeter.project import Project

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")

DEFAULT = "main"
"""The server that is meant where none is named."""


@dataclass(frozen=True)
class ServedModel:
    """One version of one model that the server was started with."""

    name: str
    version: str
    archive: str
    sha256: str


@dataclass(frozen=True)
class ServerState:
    """A server that was started.

    Attributes:
        pid: process id of Java, which is also the id of the session in which it and its workers run.
        inference: address to send photographs to.
        management: address that answers questions about models; loopback.
        metrics: address of the Prometheus metrics; loopback.
        grpc: host and port of gRPC inference.
        temporary: the server's own temporary folder.
        java: the Java it runs on, and its version.
        model_api: whether models can be added and removed while it runs.
        models: what it serves.
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

    def as_dict(self) -> dict[str, object]:
        """Return the state as its file holds it."""
        return asdict(self)


@dataclass(frozen=True)
class ServerDirectory:
    """The folder of one server of a project."""

    folder: Path

    @property
    def name(self) -> str:
        """The server's name."""
        return self.folder.name

    @property
    def configuration(self) -> Path:
        """TorchServe's configuration."""
        return self.folder / "config.properties"

    @property
    def metrics(self) -> Path:
        """The declaration of the metrics."""
        return self.folder / "metrics.yaml"

    @property
    def archives(self) -> Path:
        """TorchServe's model store: copies of the archives that this server was started with."""
        return self.folder / "archives"

    @property
    def logs(self) -> Path:
        """The folder of logs."""
        return self.folder / "logs"

    @property
    def keys(self) -> Path:
        """The tokens, which TorchServe writes for its owner's eyes only."""
        return self.folder / "key_file.json"

    @property
    def pid(self) -> Path:
        """The process id of Java, for systemd."""
        return self.folder / "java.pid"

    @property
    def _file(self) -> Path:
        return self.folder / "state.json"

    def read(self) -> ServerState | None:
        """Return what was remembered, or None if no server was started, or it was stopped."""
        try:
            values = json.loads(self._file.read_text(encoding="utf-8"))
        except FileNotFoundError:
            return None
        return ServerState(**{**values, "models": tuple(ServedModel(**model) for model in values["models"])})

    def write(self, state: ServerState) -> None:
        """Remember a server."""
        write_atomic(self._file, json.dumps(state.as_dict(), indent=2))
        write_atomic(self.pid, f"{state.pid}\n")

    def forget(self) -> None:
        """Forget the server; its logs stay."""
        for file in (self._file, self.pid, self.keys):
            file.unlink(missing_ok=True)


def server_directory(project: Project, name: str) -> ServerDirectory:
    """Return the folder of a project's server, which need not exist.

    Raises:
        UsageError: if the name cannot be a folder's.
    """
    if not _NAME.fullmatch(name):
        raise UsageError(f"'{name}' cannot name a server; use up to 100 letters, digits, '.', '_' and '-' (--server).")
    return ServerDirectory(project.state / "serve" / name)
