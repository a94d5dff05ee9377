"""Run TorchServe behind the gateway; the main process of a server.

``serve start`` launches it in the background, and the container's ``run.sh`` in the foreground. It reads TorchServe's
``config.properties``, takes over the inference address, and gives TorchServe an address of its own on loopback. On
SIGTERM it answers every request that was accepted, stops TorchServe with its workers, and exits with 0.

Only aiohttp, psutil, python-multipart, Starlette and uvicorn are needed beside TorchServe.
"""

import argparse
import asyncio
import logging
import math
import os
import socket
import subprocess
import sys
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from lightmeter.errors import LightmeterError, UsageError
from lightmeter.serve.gateway import server
from lightmeter.serve.gateway.app import gateway_app
from lightmeter.serve.gateway.connection import ConnectionFailed, EngineConnection
from lightmeter.serve.gateway.logs import FORMAT_VARIABLE, configure_logging
from lightmeter.serve.gateway.tokens import KEY_FILE_VARIABLE, KEY_VARIABLE, Tokens, publish, static_key
from lightmeter.serve.handler.tracing import Tracing
from lightmeter.serve.torchserve.engine import TorchServeEngine
from lightmeter.serve.torchserve.environment import (
    LOGS_VARIABLE,
    SERVER_VARIABLE,
    engine_environment,
    make_temporary,
    new_token,
    remove_temporary,
    torchserve_folder,
)
from lightmeter.serve.torchserve.java import find_java
from lightmeter.serve.torchserve.log_lines import LOGGING_FILE, write_logging
from lightmeter.serve.torchserve.processes import terminate
from lightmeter.serve.torchserve.properties import read_properties, write_properties
from lightmeter.web import LOOPBACK, free_port

KEY_FILE = "key_file.json"

_MANAGEMENT = f"http://{LOOPBACK}:8081"  # TorchServe's defaults
_MAX_REQUEST_BYTES = 6_553_500
_ENGINE_TOKEN_MINUTES = 60 * 24 * 365 * 50  # TorchServe's own tokens practically never expire; the gateway's do
_TOKEN_MINUTES = 60
# TorchServe copies bytes: the optimising compiler and parallel garbage collection would take more time than they save.
_JAVA_OPTIONS = ("-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC")
_POLL_S = 0.1
_RETRY_S = 5.0
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Options:
    """Options of the supervisor.

    Attributes:
        configuration: TorchServe's ``config.properties``, with the public inference address.
        archives: Model store.
        python: Python interpreter of the workers.
        tokens: Whether requests need a token.
        listener: Descriptor of a listening socket; None to listen on the inference address.
        temporary: Temporary folder of the server; None to create one.
        java: Java; None to find one.
        log_format: Format of the logs, ``text`` or ``json``.
    """

    configuration: Path
    archives: Path
    python: Path = Path(sys.executable)
    tokens: bool = True
    listener: int | None = None
    temporary: Path | None = None
    java: Path | None = None
    log_format: str = "text"


def main(args: list[str] | None = None) -> int:
    """Run the supervisor; the command line of ``run.sh``."""
    parser = argparse.ArgumentParser(prog="python -m lightmeter.serve.torchserve.supervisor", description=__doc__)
    parser.add_argument("configuration", type=Path)
    parser.add_argument("archives", type=Path)
    parser.add_argument("--python", type=Path, default=Path(sys.executable))
    parser.add_argument("--disable-token-auth", dest="tokens", action="store_false")
    parser.add_argument("--listener", type=int)
    parser.add_argument("--temporary", type=Path)
    parser.add_argument("--java", type=Path)
    parser.add_argument("--log-format", default=os.environ.get(FORMAT_VARIABLE) or "text")
    options = Options(**vars(parser.parse_args(args)))
    try:
        configure_logging(options.log_format)
        supervise(options)
    except LightmeterError as error:
        print(f"lightmeter: {error}", file=sys.stderr, flush=True)  # noqa: T201
        return error.exit_code
    return 0


def supervise(options: Options) -> None:
    """Run a server until SIGTERM.

    Raises:
        UsageError: The configuration or the key is invalid, or the address cannot be bound.
        LightmeterError: TorchServe did not start, or ended by itself.
    """
    values = read_properties(options.configuration)
    tokens = _tokens(values) if options.tokens else None
    java_path = options.java or find_java().path
    listener = _listener(values, options.listener)
    token = os.environ.get(SERVER_VARIABLE) or new_token()
    temporary = options.temporary or make_temporary(token)
    inner = f"http://{LOOPBACK}:{free_port()}"
    write_properties(temporary / "config.properties", _engine_values(values, options.configuration, inner))
    write_logging(temporary / LOGGING_FILE, options.log_format)
    java = _start(java_path, options, temporary, token)
    connection = EngineConnection()
    engine = TorchServeEngine(connection, inner, values.get("management_address", _MANAGEMENT), temporary / KEY_FILE)
    max_bytes = int(_number(values, "max_request_size", _MAX_REQUEST_BYTES))
    tracing = Tracing.from_environment()
    app = gateway_app(engine, tokens.accepts if tokens else None, max_bytes, tracing=tracing)
    tasks = [partial(_watch, java), *([partial(_renew, engine, tokens, Path.cwd() / KEY_FILE)] if tokens else [])]
    seconds_left = 0.0
    try:
        seconds_left = server.run(app, listener, tasks, connection)
    finally:
        _stop(java, seconds_left)
        terminate(token)
        if options.temporary is None:
            remove_temporary(temporary, token)


def _tokens(values: Mapping[str, str]) -> Tokens:
    minutes = _number(values, "token_expiration_min", _TOKEN_MINUTES)
    file = os.environ.get(KEY_FILE_VARIABLE)
    return Tokens(60 * minutes, static_key(os.environ.get(KEY_VARIABLE, "")), Path(file) if file else None)


def _number(values: Mapping[str, str], key: str, default: float) -> float:
    try:
        number = float(values.get(key, default))
    except ValueError:
        number = 0
    if not 0 < number < math.inf:
        raise UsageError(f"{key} in the configuration must be a positive number, not {values[key]!r}.")
    return number


def _listener(values: Mapping[str, str], descriptor: int | None) -> socket.socket:
    if descriptor is not None:
        return socket.socket(fileno=descriptor)
    address = urlsplit(values.get("inference_address", f"http://{LOOPBACK}:8080"))
    return server.listen(address.hostname or LOOPBACK, address.port or 80)


def _engine_values(values: Mapping[str, str], configuration: Path, inference: str) -> dict[str, str]:
    """Return TorchServe's own configuration: its private address, tokens that do not expire, absolute paths."""
    changed = {**values, "inference_address": inference, "token_expiration_min": str(_ENGINE_TOKEN_MINUTES)}
    if "metrics_config" in values:
        changed["metrics_config"] = str(configuration.absolute().parent / values["metrics_config"])
    return changed


def _start(java: Path, options: Options, temporary: Path, token: str) -> subprocess.Popen[bytes]:
    """Start Java, in a process group of its own, so that Ctrl-C does not reach it."""
    folder = torchserve_folder()
    settings = {
        "java.io.tmpdir": temporary,
        "model_server_home": folder.parent,
        "log4j.configurationFile": (temporary / LOGGING_FILE).absolute().as_uri(),
    }
    command = [str(java), *_JAVA_OPTIONS, *(f"-D{name}={value}" for name, value in settings.items())]
    command += ["-cp", f"{folder / 'frontend'}/*", "org.pytorch.serve.ModelServer", "--python", str(options.python)]
    command += ["-f", str(temporary / "config.properties"), "-s", str(options.archives.absolute()), "-ncs"]
    command += [] if options.tokens else ["--disable-token-auth"]
    logs = Path(os.environ.get(LOGS_VARIABLE, "logs")).absolute()
    return subprocess.Popen(
        command,
        cwd=temporary,
        env=engine_environment(os.environ, temporary, logs, token),
        stdin=subprocess.DEVNULL,
        process_group=0,
    )


def _stop(java: subprocess.Popen[bytes], seconds_left: float) -> None:
    """Ask Java to end and wait for it: it answers its gRPC calls first, which do not pass through the gateway.

    Args:
        java: The process.
        seconds_left: Time that is left for accepted requests, in seconds.
    """
    java.terminate()
    with suppress(subprocess.TimeoutExpired):
        java.wait(seconds_left)


async def _watch(java: subprocess.Popen[bytes]) -> None:
    """Wait until Java ends.

    Raises:
        LightmeterError: It ended.
    """
    while java.poll() is None:  # noqa: ASYNC110 - a thread that waits for it would outlive the server
        await asyncio.sleep(_POLL_S)
    raise LightmeterError(f"TorchServe ended with exit code {java.returncode}.")


async def _renew(engine: TorchServeEngine, tokens: Tokens, file: Path) -> None:
    """Publish the first token, and replace it at half of its lifetime, again and again."""
    pause = _POLL_S
    renew: Callable[[], Awaitable[object]] = engine.read_tokens  # the first ones, once TorchServe has written them
    while True:
        await asyncio.sleep(pause)
        try:
            await renew()
        except (ConnectionFailed, OSError, ValueError, KeyError) as error:
            if renew == engine.renew_token:
                _log.warning("The token cannot be renewed yet: %r", error)
                pause = min(_RETRY_S, tokens.renewal_s / 10)
            continue
        tokens.add(engine.tokens["inference"]["key"])
        _publish(file, engine.tokens, tokens)
        renew, pause = engine.renew_token, tokens.renewal_s


def _publish(file: Path, engine_tokens: Mapping[str, Any], tokens: Tokens) -> None:
    try:
        publish(file, engine_tokens, tokens.lifetime_s)
    except OSError as error:
        _log.warning("The tokens cannot be written to %s (%s); set %s instead.", file, error.strerror, KEY_VARIABLE)


if __name__ == "__main__":
    raise SystemExit(main())
