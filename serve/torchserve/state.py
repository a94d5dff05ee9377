"""State of a server between two commands: one directory per server in the project, with a JSON file."""

import fcntl
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, ConfigDict, Field, TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass as model

from lightmeter.errors import LightmeterError, UsageError
from lightmeter.files import check_own_files, write_atomic
from lightmeter.processes import ProcessIdentity
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
_Path = Annotated[str, Field(pattern="^/")]


def _parse_identity(text: str) -> ProcessIdentity:
    identity = ProcessIdentity.parse(text)
    if identity is None or identity.pid <= 1:
        raise ValueError("it is the identity of no server")
    return identity


def _check_identity(text: str) -> str:
    return str(_parse_identity(text))


@model(frozen=True, config=_STRICT)
class ServedModel:
    """One version of one model of a server; LitServe serves runs, which have no archive."""

    name: _Name
    version: _Name
    archive: _Name | Literal[""]
    sha256: str

    @classmethod
    def from_archive(cls, archive: Archive) -> "ServedModel":
        """Return the model of an archive, stored as ``NAME-VERSION.mar``."""
        return cls(archive.name, archive.version, f"{archive.name}-{archive.version}.mar", archive.sha256)


@model(frozen=True, config=_STRICT)
class ServerState:
    """A server that was started.

    Attributes:
        framework: What serves the models.
        process: Identity of the main process.
        token: Random number that marks the server's other processes and its temporary folder.
        folder: Directory of the server when it was started.
        inference: URL of the inference API.
        metrics: URL of the Prometheus metrics (loopback).
        models: The served models.
        management: URL of TorchServe's management API (loopback).
        grpc: Host and port of TorchServe's gRPC inference.
        temporary: Temporary folder of TorchServe.
        java: Path and version of Java for TorchServe.
        model_api: Whether models can be added and removed while TorchServe runs.
        workers: Number of LitServe's workers.
    """

    framework: Literal["torchserve", "litserve"]
    process: Annotated[str, AfterValidator(_check_identity)]
    token: Annotated[str, Field(pattern="^[0-9a-f]{32}$")]
    folder: _Path
    inference: _Url
    metrics: _LoopbackUrl
    models: Annotated[tuple[ServedModel, ...], Field(min_length=1)]
    management: _LoopbackUrl | None = None
    grpc: str = ""
    temporary: _Path | None = None
    java: str = ""
    model_api: bool = False
    workers: Annotated[int, Field(ge=0)] = 0

    @property
    def identity(self) -> ProcessIdentity:
        """Identity of the main process."""
        return _parse_identity(self.process)

    @property
    def pid(self) -> int:
        """Process id of the main process."""
        return self.identity.pid

    @property
    def is_running(self) -> bool:
        """Whether the main process is running."""
        return self.identity.is_running


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

        A copy of a project has a copy of the state, whose server is the other project's.

        Raises:
            DamagedState: The file is not what `write` wrote.
        """
        try:
            file = self.path / _STATE_FILE
            state = _STATE.validate_json(file.read_bytes())
            original = Path(state.folder) / _STATE_FILE
            return None if original.exists() and not original.samefile(file) else state
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
