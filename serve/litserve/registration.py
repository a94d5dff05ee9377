"""The folder of a LitServe in its project, by which other commands find the server, its logs and its tokens."""

import shutil
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import BinaryIO

from lightmeter.models.runtime.spec import ModelSpec
from lightmeter.processes import ProcessIdentity
from lightmeter.serve.gateway.logs import LogFile, write_logs
from lightmeter.serve.torchserve.environment import new_token
from lightmeter.serve.torchserve.server import stop_leftovers
from lightmeter.serve.torchserve.state import ServedModel, ServerDirectory, ServerState


@dataclass(frozen=True)
class Registration:
    """A LitServe of a project.

    Attributes:
        directory: Its folder.
        token: Marks its processes.
        log: Writes its log.
        starting: What ends when the server is ready.
    """

    directory: ServerDirectory
    token: str
    log: LogFile
    starting: ExitStack

    def announce(self, spec: ModelSpec, url: str, metrics: str, workers: int) -> None:
        """Save the state of the server, which is ready.

        Args:
            spec: Specification of its model.
            url: Its address.
            metrics: Address of its metrics.
            workers: Number of its workers.
        """
        self.directory.write(
            ServerState(
                framework="litserve",
                process=str(ProcessIdentity.current()),
                token=self.token,
                folder=str(self.directory.path),
                inference=url,
                metrics=metrics.removesuffix("/metrics"),
                models=(ServedModel(spec.name, spec.version, "", spec.weights_sha256),),
                workers=workers,
            )
        )
        self.starting.close()

    def copy_output(self, output: BinaryIO) -> None:
        """Copy the output of the engine to standard error and to the log, until it ends."""
        for line in output:
            sys.stderr.buffer.write(line)
            sys.stderr.buffer.flush()
            self.log.write_line(line.decode("utf-8", "replace").rstrip("\n"))


@contextmanager
def registered(directory: ServerDirectory, log_format: str) -> Iterator[Registration]:
    """Take the folder of a server for the duration of a block; its logs remain.

    Raises:
        UsageError: The server is running.
        LightmeterError: Another command is starting it.
    """
    with ExitStack() as starting:
        starting.enter_context(directory.lock())
        stop_leftovers(directory)
        directory.path.chmod(0o700)
        if directory.logs.is_dir():
            shutil.rmtree(directory.logs)
        directory.logs.mkdir()
        log = write_logs(directory.logs, log_format)
        try:
            yield Registration(directory, new_token(), log, starting)
        finally:
            directory.remove()
