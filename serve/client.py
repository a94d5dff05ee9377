"""HTTP client of a server of this project. It reads the tokens that the server publishes."""

import json
import ssl
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Literal, Self, TypeVar, cast

import httpx
from tenacity import (
    retry,
    retry_if_result,
    stop_after_attempt,
    wait_exponential,
)

from lightmeter.errors import LightmeterError, UsageError
from lightmeter.models.runtime.exif_features import Tags
from lightmeter.plugins import unknown_name_message
from lightmeter.project import Project
from lightmeter.serve.torchserve.processes import running_state
from lightmeter.serve.torchserve.state import DEFAULT_SERVER, ServerDirectory, ServerState, server_directory
from lightmeter.settings import ServeSection

TokenType = Literal["inference", "management", "API"]
Send = TypeVar("Send", bound=Callable[..., httpx.Response])

_MAX_CONCURRENT_REQUESTS = 8
_OK, _UNPROCESSABLE, _BUSY = 200, 422, 503
_REFUSED = (400, 401)  # of TorchServe and of the gateway
_WORKER_DIED = (500, 507)


def _retry_status(statuses: Sequence[int], attempts: int) -> Callable[[Send], Send]:
    """Return a decorator that repeats a request, with growing pauses, while the response has one of these statuses."""
    decorator = retry(
        retry=retry_if_result(lambda response: response.status_code in statuses),
        stop=stop_after_attempt(attempts),
        wait=wait_exponential(multiplier=0.05),
        retry_error_callback=lambda state: state.outcome and state.outcome.result(),
    )
    return cast("Callable[[Send], Send]", decorator)


class Client:
    """Client of a server of a project: a TorchServe of ``lightmeter serve start``, or a LitServe.

    Requests are repeated while the server is busy, and once if a worker dies. A client can be used by several threads.

    Args:
        directory: Directory of the server, which holds its tokens.
        state: State of the server.
        timeout_s: Timeout of a request, in seconds.

    Example:
        >>> with Client.connect(Project(Path.cwd())) as client:  # in a project with a running server
        ...     document = client.predict("patches-iso-demo-1", Path("photograph.jpg").read_bytes())
        >>> sorted(document)
        ['dataset', 'engine', 'model', 'predictions', 'version']
    """

    def __init__(self, directory: ServerDirectory, state: ServerState, timeout_s: float = 120.0) -> None:
        self._directory = directory
        self._state = state
        self._inference = state.inference
        no_certificates = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # HTTP on loopback; reading them takes 30 ms
        self._http = httpx.Client(timeout=timeout_s, trust_env=False, verify=no_certificates)

    @classmethod
    def connect(cls, project: Project, server: str = DEFAULT_SERVER) -> Self:
        """Connect to a running server of a project.

        Raises:
            LightmeterError: The server is not running.
        """
        directory = server_directory(project, server)
        return cls(directory, running_state(directory))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def predict(self, model: str, image: bytes, version: str | None = None, exif: Tags | None = None) -> dict[str, Any]:
        """Predict a photograph.

        Args:
            model: Name of the model.
            image: Bytes of the image file.
            version: Version of the model (default: the active one).
            exif: EXIF tags, which take precedence over those in the file.

        Returns:
            The prediction, or ``{"error": {"status": …, "reason": …}}``.

        Raises:
            LightmeterError: The server does not respond.
        """
        return self._predict(f"/predictions/{model}" + (f"/{version}" if version else ""), image, exif)

    def explain(self, model: str, image: bytes) -> dict[str, Any]:
        """Predict a photograph and add the contribution of each patch, if the model uses patches."""
        document = self._predict(f"/explanations/{model}", image)
        not_supported = document.get("error", {}).get("status") == _UNPROCESSABLE
        return self.predict(model, image) if not_supported else document

    def predict_files(
        self, model: str, files: Sequence[Path], version: str | None = None, exif: Sequence[Tags | None] | None = None
    ) -> Iterator[dict[str, Any]]:
        """Predict photographs in parallel.

        Args:
            model: Name of the model.
            files: Image files.
            version: Version of the model (default: the active one).
            exif: EXIF tags of each file.

        Yields:
            For each file, in their order, its prediction or error, with the path in ``file``.

        Raises:
            UsageError: The model, the version or a file does not exist.
            LightmeterError: The server does not respond.
        """
        self._check_served(model, version)
        for file in files:
            if not file.is_file():
                raise UsageError(f"File {file} not found.")

        def predict(file: Path, tags: Tags | None) -> dict[str, Any]:
            return {"file": str(file), **self.predict(model, file.read_bytes(), version, tags)}

        with ThreadPoolExecutor(_MAX_CONCURRENT_REQUESTS) as pool:
            yield from pool.map(predict, files, exif or [None] * len(files))

    @property
    def model_names(self) -> list[str]:
        """Names of the served models."""
        return list(dict.fromkeys(model.name for model in self._state.models))

    def is_ready(self) -> bool:
        """Return whether the server answers that its models can predict."""
        try:
            return self._send("GET", f"{self._inference}/ping", "inference").status_code == _OK
        except LightmeterError:
            return False

    def models(self) -> dict[tuple[str, str], dict[str, Any]]:
        """Return TorchServe's descriptions of the models, by name and version."""
        urls = [f"{self._state.management}/models/{name}/all" for name in self.model_names]
        responses = [self._send("GET", url, "management") for url in urls]
        models = [model for response in responses if response.status_code == _OK for model in response.json()]
        return {(model["modelName"], model["modelVersion"]): model for model in models}

    def ready(self, workers: int) -> bool:
        """Return whether every model has at least this number of ready workers."""
        try:
            counts = {key: ready_workers(model) for key, model in self.models().items()}
        except LightmeterError:
            return False
        return all(counts.get((model.name, model.version), 0) >= workers for model in self._state.models)

    def metrics(self) -> str:
        """Return the metrics in Prometheus' text format."""
        return self._send("GET", f"{self._state.metrics}/metrics", "inference").text

    def register(self, archive: str, settings: ServeSection) -> None:
        """Load an archive of the server's model store, and wait until its workers are ready.

        Raises:
            LightmeterError: The model failed to load.
        """
        params = {
            "url": archive,
            "initial_workers": settings.workers,
            "batch_size": settings.batch_size,
            "max_batch_delay": settings.max_batch_delay_ms,
            "synchronous": "true",
        }
        self._manage("POST", "/models", params=params)

    def set_default(self, name: str, version: str) -> None:
        """Send requests without a version to this version."""
        self._manage("PUT", f"/models/{name}/{version}/set-default")

    def unregister(self, name: str, version: str) -> None:
        """Remove a version of a model."""
        self._manage("DELETE", f"/models/{name}/{version}")

    def _check_served(self, name: str, version: str | None) -> None:
        versions = [model.version for model in self._state.models if model.name == name]
        if not versions:
            raise UsageError(unknown_name_message("model", name, self.model_names))
        if version is not None and version not in versions:
            raise UsageError(unknown_name_message(f"version of {name}", version, versions))

    def _predict(self, path: str, image: bytes, exif: Tags | None = None) -> dict[str, Any]:
        body: dict[str, Any] = {"content": image, "headers": {"Content-Type": "application/octet-stream"}}
        if exif:
            body = {"files": {"data": image}, "data": {"exif": json.dumps(exif)}}
        return _document(self._send("POST", self._inference + path, "inference", **body))

    def _manage(self, method: str, path: str, **content: Any) -> None:
        response = self._send(method, f"{self._state.management}{path}", "management", **content)
        if response.status_code != _OK:
            reason = _document(response)["error"]["reason"]
            raise LightmeterError(f"TorchServe refused {method} {path}: {reason}")

    @_retry_status(_WORKER_DIED, attempts=2)
    @_retry_status([_BUSY], attempts=9)
    def _send(self, method: str, url: str, token_type: TokenType, **content: Any) -> httpx.Response:
        """Send a request, and again if the token was replaced since it was read."""
        token = self._token(token_type)
        response = self._request(method, url, token, content)
        if response.status_code in _REFUSED and (renewed := self._token(token_type)) != token:
            response = self._request(method, url, renewed, content)
        return response

    def _request(self, method: str, url: str, token: str, content: dict[str, Any]) -> httpx.Response:
        headers = {**content.get("headers", {}), **({"Authorization": f"Bearer {token}"} if token else {})}
        try:
            return self._http.request(method, url, **{**content, "headers": headers})
        except httpx.HTTPError as error:
            raise LightmeterError(
                f"The server at {url} does not respond ({error}); check it with 'lightmeter serve status'."
            ) from error

    def _token(self, token_type: TokenType) -> str:
        try:
            return str(json.loads(self._directory.keys.read_text(encoding="utf-8"))[token_type]["key"])
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise LightmeterError(
                f"The server's tokens in {self._directory.keys} cannot be read; if it has just been started, try again."
            ) from error


class RemoteClient(Client):
    """Client of any server of Lightmeter, of this or another machine: TorchServe or LitServe behind the gateway.

    Args:
        url: URL of the server, also with a path prefix.
        token: Token that the server accepts; empty for a server without tokens.
        timeout_s: Timeout of a request, in seconds.

    Raises:
        UsageError: The URL is not a web address.
    """

    def __init__(self, url: str, token: str = "", timeout_s: float = 120.0) -> None:
        try:
            valid = httpx.URL(url).scheme in {"http", "https"} and httpx.URL(url).host
        except httpx.InvalidURL:
            valid = False
        if not valid:
            raise UsageError(f"'{url}' is not the URL of a server; write https://HOST or http://HOST:PORT.")
        self._inference, self._key = url.rstrip("/"), token
        self._http = httpx.Client(timeout=timeout_s)

    def _check_served(self, name: str, version: str | None) -> None:
        """Leave it to the server, which answers for each photograph."""

    def _token(self, token_type: TokenType) -> str:
        return self._key


def ready_workers(model: dict[str, Any]) -> int:
    """Return the number of ready workers in TorchServe's description of a model."""
    return sum(worker["status"] == "READY" for worker in model["workers"])


def _document(response: httpx.Response) -> dict[str, Any]:
    """Return a response of the handler or of TorchServe itself as one kind of document."""
    try:
        document = response.json()
    except ValueError:
        document = {}
    if response.status_code == _OK and "predictions" in document:
        return dict(document)
    if isinstance(document.get("error"), dict):
        return {"error": document["error"]}
    reason = document.get("message") or response.reason_phrase or "no reason given"
    return {"error": {"status": response.status_code, "reason": reason}}
