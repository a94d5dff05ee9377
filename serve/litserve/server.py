"""Run LitServe behind the gateway: the same requests, responses, tokens and health checks as with TorchServe."""

import asyncio
import base64
import json
import os
import secrets
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, closing, contextmanager, nullcontext, suppress
from dataclasses import dataclass
from functools import partial
from ipaddress import IPv4Address, ip_address
from pathlib import Path
from typing import TYPE_CHECKING

import psutil

from lightmeter.errors import LightmeterError, UsageError
from lightmeter.models.runtime.engines import EngineName
from lightmeter.models.runtime.spec import ModelSpec
from lightmeter.serve.gateway import server
from lightmeter.serve.gateway.app import Answer, Call, EngineUnavailable, error_document, gateway_app
from lightmeter.serve.gateway.connection import ConnectionFailed, EngineConnection
from lightmeter.serve.gateway.logs import FORMAT_VARIABLE, configure_logging
from lightmeter.serve.gateway.tokens import Tokens, publish
from lightmeter.serve.handler.tracing import ENDPOINTS, Tracing
from lightmeter.serve.litserve.registration import Registration, registered
from lightmeter.serve.torchserve.environment import SERVER_VARIABLE
from lightmeter.serve.torchserve.state import ServerDirectory
from lightmeter.web import LOOPBACK, free_port

if TYPE_CHECKING:  # prometheus_client belongs to the extra
    from lightmeter.serve.litserve.metrics import LitServeMetrics

_POLL_S = 0.2
_STOP_S = 10
_HEALTH_TIMEOUT_S = 5
_OK, _NOT_FOUND = 200, 404
_JSON = {"Content-Type": "application/json"}


@dataclass(frozen=True)
class LitServeOptions:
    """Options of a server.

    Attributes:
        host: Host to listen on.
        port: Port to listen on; 0 for any free port.
        workers: Number of worker processes.
        max_bytes: Maximum size of a request.
        token: Token that requests need; empty for none.
        engine: What runs the network.
        token_file: File with another token; None, or without such a file, for none.
        directory: Folder of the server in its project, in which a token is published and renewed, as TorchServe's; None
            outside a project.
        token_minutes: Lifetime of that token.
        metrics_port: Loopback port of the metrics; 0 for any free one.
        log_format: Format of the logs, ``text`` or ``json``.
        otlp_endpoint: OpenTelemetry collector; empty for that of the environment.
    """

    host: str = LOOPBACK
    port: int = 0
    workers: int = 1
    max_bytes: int = 50_000_000
    token: str = ""
    engine: EngineName = "torch"
    token_file: Path | None = None
    directory: ServerDirectory | None = None
    token_minutes: float = 60.0
    metrics_port: int = 0
    log_format: str = "text"
    otlp_endpoint: str = ""


class LitServeEngine:
    """A LitServe that listens on loopback.

    Args:
        connection: Connections to it.
        url: Its address.
        spec: Specification of its model.
        metrics: Counts its responses.
    """

    def __init__(self, connection: EngineConnection, url: str, spec: ModelSpec, metrics: "LitServeMetrics") -> None:
        self._connection, self._url, self._spec, self._metrics = connection, url, spec, metrics

    async def ready(self) -> bool:
        """Return whether the workers have loaded the model."""
        try:
            async with asyncio.timeout(_HEALTH_TIMEOUT_S):
                response = await self._connection.get(f"{self._url}/health")
        except (ConnectionFailed, TimeoutError):
            return False
        return response.status == _OK

    async def predict(self, call: Call) -> Answer:
        """Answer a request.

        Raises:
            EngineUnavailable: LitServe does not respond.
        """
        name, version = self._spec.name, self._spec.version
        if call.model != name:
            return _not_found(f"Model not found: {call.model}")
        if call.version not in {"", version}:
            return _not_found(f"Model version: {call.version} does not exist for model: {name}")
        fields = {field: base64.b64encode(value).decode() for field, value in call.fields.items()}
        body = json.dumps({"fields": fields, "explain": call.explain, "headers": dict(call.headers)}).encode()
        try:
            response = await self._connection.post(f"{self._url}/predictions/{name}", _JSON, body)
            if response.status != _OK:
                return Answer(response.status, response.content)
            document = json.loads(response.content)
        except (ConnectionFailed, ValueError) as error:
            raise EngineUnavailable("LitServe does not respond; it may be starting. Try again.") from error
        self._metrics.record(document)
        return Answer(document["status"], json.dumps(document["document"]).encode())


def _not_found(reason: str) -> Answer:
    return Answer(_NOT_FOUND, json.dumps(error_document(_NOT_FOUND, reason)).encode())


def run_server(run: Path, spec: ModelSpec, options: LitServeOptions, on_ready: Callable[[str, str], None]) -> None:
    """Serve a run until Ctrl-C or SIGTERM, and then answer the requests that were accepted.

    Args:
        run: Run directory.
        spec: Specification of its model.
        options: Options of the server.
        on_ready: Called with the address and that of the metrics once the model is loaded.

    Raises:
        UsageError: The host or the port cannot be used.
        LightmeterError: LitServe ended by itself.
    """
    from lightmeter.serve.litserve.metrics import LitServeMetrics

    configure_logging(options.log_format)
    if options.otlp_endpoint:
        os.environ[ENDPOINTS[0]] = options.otlp_endpoint
    _check_host(options.host)
    metrics, connection, port = LitServeMetrics(run, spec), EngineConnection(), free_port()
    engine = LitServeEngine(connection, f"http://{LOOPBACK}:{port}", spec, metrics)
    tokens = Tokens(60 * options.token_minutes, options.token, options.token_file)
    accepts_token = tokens.accepts if options.token or options.directory else None
    app = gateway_app(
        engine, accepts_token, options.max_bytes, {spec.name: spec.version}, tracing=Tracing.from_environment()
    )
    with (
        closing(server.listen(options.host, options.port)) as listener,
        metrics.served(options.metrics_port) as metrics_url,
        _registered(options) as registration,
        _engine(run, port, options, registration) as process,
    ):
        public_port = listener.getsockname()[1]

        def announce() -> None:
            if registration:
                local_url = server.local_url_of(options.host, public_port)
                registration.announce(spec, local_url, metrics_url, options.workers)
            on_ready(server.url_of(options.host, public_port), metrics_url)

        tasks = [partial(_watch, process), partial(_announce, engine, announce)]
        tasks += [partial(_renew, tokens, registration.directory.keys)] if registration else []
        server.run(app, listener, tasks, connection)


@contextmanager
def _engine(
    run: Path, port: int, options: LitServeOptions, registration: "Registration | None"
) -> Iterator[subprocess.Popen[bytes]]:
    """Run LitServe for the duration of a block; in a project its output is also logged."""
    command = [sys.executable, "-m", "lightmeter.serve.litserve.api", str(run), str(port), str(options.workers)]
    command.append(options.engine)
    # LIT_*: LitServe's own settings, such as a key for the private engine; no Ctrl-C reaches another process group.
    environment = {name: value for name, value in os.environ.items() if not name.startswith("LIT_")}
    environment[FORMAT_VARIABLE] = options.log_format
    environment |= {SERVER_VARIABLE: registration.token} if registration else {}
    output = subprocess.PIPE if registration else None
    process = subprocess.Popen(command, env=environment, stdin=subprocess.PIPE, stderr=output, process_group=0)
    with ExitStack() as stack:
        if registration and process.stderr:
            reader = threading.Thread(target=registration.copy_output, args=[process.stderr], daemon=True)
            reader.start()
            stack.enter_context(process.stderr)
            stack.callback(reader.join, _STOP_S)
        stack.callback(_stop, process)
        yield process


def _registered(options: LitServeOptions) -> AbstractContextManager["Registration | None"]:
    return registered(options.directory, options.log_format) if options.directory else nullcontext()


async def _renew(tokens: Tokens, file: Path) -> None:
    """Publish a token, and replace it at half of its lifetime, again and again."""
    while True:
        key = secrets.token_hex(16)
        tokens.add(key)
        publish(file, {"inference": {"key": key}}, tokens.lifetime_s)
        await asyncio.sleep(tokens.renewal_s)


def _check_host(host: str) -> None:
    """Refuse the hosts that LitServe itself has never taken: names, of which one may have several addresses, and IPv6.

    Raises:
        UsageError: The host is neither an IPv4 address nor ``::``.
    """
    address: object = None
    with suppress(ValueError):
        address = ip_address(host)
    if not (isinstance(address, IPv4Address) or host == "::"):
        raise UsageError(
            f"The host {host!r} cannot be used with LitServe; give an IPv4 address of this machine, such as 127.0.0.1, "
            "or '::' for all of its addresses."
        )


async def _watch(process: subprocess.Popen[bytes]) -> None:
    """Wait until LitServe ends.

    Raises:
        LightmeterError: It ended.
    """
    while process.poll() is None:  # noqa: ASYNC110 - a thread that waits for it would outlive the server
        await asyncio.sleep(_POLL_S)
    raise LightmeterError(f"LitServe ended with exit code {process.returncode}; see its messages above.")


async def _announce(engine: LitServeEngine, on_ready: Callable[[], None]) -> None:
    while not await engine.ready():  # noqa: ASYNC110 - LitServe does not tell
        await asyncio.sleep(_POLL_S)
    on_ready()


def _stop(process: subprocess.Popen[bytes]) -> None:
    """Stop LitServe and the processes that it forked."""
    with suppress(psutil.NoSuchProcess):
        children = psutil.Process(process.pid).children(recursive=True)
        process.send_signal(signal.SIGTERM)
        with suppress(subprocess.TimeoutExpired):
            process.wait(_STOP_S)
        for child in children:
            with suppress(psutil.NoSuchProcess):
                child.kill()
    process.kill()
    if process.stdin:
        process.stdin.close()
    process.wait()
