"""State of a server between two commands: one directory per server in the project, with a JSON file."""

import fcntl
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from pydantic import ConfigDict, Field, TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass as model

from lightmeter.errors import LightmeterError, UsageError
from lightmeter.files import check_own_files, write_atomic
from lightmeter.project import Project
from lightmeter.serve.archive import Archive

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")

_STATE_FILE = "state.json"
_PID_FILE = "server.pid"  # for systemd
_LOCK_FILE = "lock"

DEFAULT_SERVER = "main"

_STRICT = ConfigDict(strict=True, extra="forbid")
_Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")]
_Url = Annotated[str, Field(pattern=r"^http://[^/]+:[0-9]+$")]
_LoopbackUrl = Annotated[str, Field(pattern=r"^http://127\.0\.0\.1:[0-9]+$")]


@model(frozen=True, config=_STRICT)
class ServedModel:
    """One version of one model of a server."""

    name: _Name
    version: _Name
    archive: _Name
    sha256: str

    @classmethod
    def from_archive(cls, archive: Archive) -> "ServedModel":
        """Return the model of an archive, stored as ``NAME-VERSION.mar``."""
        return cls(archive.name, archive.version, f"{archive.name}-{archive.version}.mar", archive.sha256)


@model(frozen=True, config=_STRICT)
class ServerState:
    """A server that was started.

    Attributes:
        pid: Process id of the supervisor.
        inference: URL of the inference API.
        management: URL of the management API (loopback).
        metrics: URL of the Prometheus metrics (loopback).
        grpc: Host and port of gRPC inference.
        temporary: Temporary directory of this server.
        java: Path and version of Java.
        model_api: Whether models can be added and removed while the server runs.
        models: The served models.
    """

    pid: Annotated[int, Field(gt=1)]
    inference: _Url
    management: _LoopbackUrl
    metrics: _LoopbackUrl
    grpc: str
    temporary: Annotated[str, Field(pattern="^/")]
    java: str
    model_api: bool
    models: tuple[ServedModel, ...]


class DamagedState(LightmeterError):
    """The state file of a server cannot be read."""


_STATE = TypeAdapter(ServerState)


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
        """Return the state, or None if no server was started or it was stopped.

        Raises:
            DamagedState: The file is not what `write` wrote.
        """
        try:
            return _STATE.validate_json((self.path / _STATE_FILE).read_bytes())
        except FileNotFoundError:
            return None
        except (ValidationError, OSError) as error:
            raise DamagedState(
                f"The state of server '{self.name}' in {self.path / _STATE_FILE} is damaged; "
                f"'lightmeter serve stop' stops the server and removes it."
            ) from error

    def write(self, state: ServerState) -> None:
        """Save the state of a server that was started."""
        write_atomic(self.path / _STATE_FILE, _STATE.dump_json(state, indent=2))
        write_atomic(self.path / _PID_FILE, f"{state.pid}\n")

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Let one command at a time start the server or change its models.

        Raises:
            LightmeterError: Another command is doing so.
        """
        self.path.mkdir(parents=True, exist_ok=True)
        with (self.path / _LOCK_FILE).open("wb") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                raise LightmeterError(
                    f"Another command is starting server '{self.name}' or changing its models; try again when it ends."
                ) from error
            yield

    def remove(self) -> None:
        """Remove the state of a server that was stopped; keep its logs."""
        for name in (_STATE_FILE, _PID_FILE, self.keys.name):
            (self.path / name).unlink(missing_ok=True)


def server_directory(project: Project, name: str = DEFAULT_SERVER) -> ServerDirectory:
    """Return the directory of a server, which need not exist.

    Raises:
        UsageError: The name cannot be used as a directory name, or the directory holds links, through which files
            elsewhere would be read or replaced.
    """
    if not _NAME.fullmatch(name):
        raise UsageError(f"Invalid server name '{name}': use up to 100 letters, digits, '.', '_' and '-' (--server).")
    directory = ServerDirectory(project.state / "serve" / name)
    check_own_files(directory.path)
    return directory
