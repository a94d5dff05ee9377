"""Ask a running server. The tokens are read from where TorchServe keeps them, and renewed when they expire."""

import json
import time
from collections import Counter
from threading import Lock
from types import TracebackType
from typing import Any, Literal, Self

import httpx

from lightmeter.errors import LightmeterError
from lightmeter.models.runtime.exif_features import Tags
from lightmeter.serve.torchserve.state import ServerDirectory, ServerState
from lightmeter.settings import ServeSection

Purpose = Literal["inference", "management"]

_FIRST_PAUSE_S = 0.05
_RETRIES = {503: 8, 500: 1, 507: 1}
"""How often a request is sent again by its answer: 503 is a full queue or no worker, the others a worker that died."""
_RENEWALS = 3  # of a token; more than one where another program renews it at the same time
_REWRITTEN_S = (0.0, 0.02, 0.1, 0.5)
"""Pauses, in seconds, before the file of tokens is read, and read again if it was half written."""
_BAD_REQUEST = 400
_OK = 200
_UNEXPLAINED = 422


class Client:
    """A connection to a server of this project.

    Args:
        home: the server's folder, where its tokens are.
        state: the server.
        timeout_s: longest wait for one answer, in seconds.
    """

    def __init__(self, home: ServerDirectory, state: ServerState, timeout_s: float = 120.0) -> None:
        self._home = home
        self._state = state
        self._http = httpx.Client(timeout=timeout_s, trust_env=False)
        self._renewing = Lock()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def predict(self, name: str, data: bytes, version: str | None = None, exif: Tags | None = None) -> dict[str, Any]:
        """Return what a model reads off a photograph.

        Args:
            name: the model.
            data: the file's bytes.
            version: of the model; else the default one.
            exif: tags that are told beside the file.

        Returns:
            A reading, or ``{"error": {"status", "reason"}}``.

        Raises:
            LightmeterError: if the server does not answer.
        """
        return self._read(f"/predictions/{name}" + (f"/{version}" if version else ""), data, exif)

    def explained(self, name: str, data: bytes) -> dict[str, Any]:
        """Return what `predict` does, with which patches counted where the model can tell."""
        answer = self._read(f"/explanations/{name}", data)
        unexplained = answer.get("error", {}).get("status") == _UNEXPLAINED
        return self.predict(name, data) if unexplained else answer

    def _read(self, path: str, data: bytes, exif: Tags | None = None) -> dict[str, Any]:
        body: dict[str, Any] = {"content": data, "headers": {"Content-Type": "application/octet-stream"}}
        if exif:
            body = {"files": {"data": data}, "data": {"exif": json.dumps(exif)}}
        return _document(self._send("POST", self._state.inference + path, "inference", **body))

    def models(self) -> list[dict[str, Any]]:
        """Return what TorchServe says of each version of each model."""
        described = []
        for name in dict.fromkeys(model.name for model in self._state.models):
            answer = self._send("GET", f"{self._state.management}/models/{name}/all", "management")
            if answer.status_code == _OK:
                described += answer.json()
        return described

    def metrics(self) -> str:
        """Return what Prometheus would be told."""
        return self._send("GET", f"{self._state.metrics}/metrics", "inference").text

    def described(self, name: str, version: str) -> dict[str, Any]:
        """Return what TorchServe says of a version of a model; {} if it is not served."""
        found = (model for model in self.models() if (model["modelName"], model["modelVersion"]) == (name, version))
        return next(found, {})

    def register(self, archive: str, settings: ServeSection) -> None:
        """Load a model from the server's folder of archives, and wait until its workers are ready.

        Raises:
            LightmeterError: if it does not load.
        """
        options = {
            "url": archive,
            "initial_workers": settings.workers,
            "batch_size": settings.batch_size,
            "max_batch_delay": settings.max_batch_delay_ms,
            "synchronous": "true",
        }
        self._manage("POST", "/models", params=options)

    def make_default(self, name: str, version: str) -> None:
        """Send requests that name no version to this one."""
        self._manage("PUT", f"/models/{name}/{version}/set-default")

    def unregister(self, name: str, version: str) -> None:
        """Remove a version of a model."""
        self._manage("DELETE", f"/models/{name}/{version}")

    def _manage(self, method: str, path: str, **content: Any) -> None:
        answer = self._send(method, self._state.management + path, "management", **content)
        if answer.status_code != _OK:
            reason = _document(answer)["error"]["reason"]
            raise LightmeterError(f"TorchServe did not do {method} {path}: {reason}")

    def ready(self, workers: int) -> bool:
        """Tell whether every model has that many workers ready."""
        try:
            described = self.models()
        except LightmeterError:
            return False
        counts = {(model["modelName"], model["modelVersion"]): ready_workers(model) for model in described}
        return all(counts.get((model.name, model.version), 0) >= workers for model in self._state.models)

    def _send(self, method: str, url: str, purpose: Purpose, **content: Any) -> httpx.Response:
        """Send a request, and again after a while if the server is busy or a worker died."""
        answer = self._authorised(method, url, purpose, content)
        sent: Counter[int] = Counter()
        while sent[answer.status_code] < _RETRIES.get(answer.status_code, 0):
            time.sleep(_FIRST_PAUSE_S * 2 ** sent.total())
            sent[answer.status_code] += 1
            answer = self._authorised(method, url, purpose, content)
        return answer

    def _authorised(self, method: str, url: str, purpose: Purpose, content: dict[str, Any]) -> httpx.Response:
        """Send a request, and again with a fresh token if the one it had is no longer good."""
        token = self._token(purpose)
        answer = self._once(method, url, token, content)
        for _ in range(_RENEWALS):
            if not _refuses_token(answer):
                break
            token = self._fresh(purpose, token)
            answer = self._once(method, url, token, content)
        return answer

    def _once(self, method: str, url: str, token: str, content: dict[str, Any]) -> httpx.Response:
        headers = {**content.get("headers", {}), "Authorization": f"Bearer {token}"}
        try:
            return self._http.request(method, url, **{**content, "headers": headers})
        except httpx.HTTPError as error:
            raise LightmeterError(
                f"The server at {url} does not answer ({error}); look at 'lightmeter serve status'."
            ) from error

    def _fresh(self, purpose: Purpose, refused: str) -> str:
        """Return a token that is not the refused one: another's, if there is one, else a new one."""
        with self._renewing:
            current = self._token(purpose)
            if current != refused:
                return current
            self._once("GET", f"{self._state.management}/token?type={purpose}", self._token("API"), {})
            return self._token(purpose)

    def _token(self, purpose: Literal["inference", "management", "API"]) -> str:
        problem: Exception
        for pause in _REWRITTEN_S:
            time.sleep(pause)
            try:
                return str(json.loads(self._home.keys.read_text(encoding="utf-8"))[purpose]["key"])
            except OSError as error:
                problem = error
                break
            except (ValueError, KeyError) as error:  # TorchServe writes in place whenever someone asks for a token
                problem = error
        raise LightmeterError(
            f"The server's tokens cannot be read from {self._home.keys}; if it was started just now, wait a little."
        ) from problem


def ready_workers(model: dict[str, Any]) -> int:
    """Return how many workers of a model, as TorchServe describes it, are ready."""
    return sum(worker["status"] == "READY" for worker in model["workers"])


def _refuses_token(answer: httpx.Response) -> bool:
    return answer.status_code == _BAD_REQUEST and b"InvalidKeyException" in answer.content


def _document(answer: httpx.Response) -> dict[str, Any]:
    """Return an answer in our own shape, whoever has given it."""
    try:
        document = answer.json()
    except ValueError:
        document = {}
    if answer.status_code == _OK and "predictions" in document:
        return dict(document)
    if isinstance(document.get("error"), dict):
        return {"error": document["error"]}
    reason = document.get("message") or {413: "The file is larger than the server takes."}.get(answer.status_code)
    return {"error": {"status": answer.status_code, "reason": reason or answer.reason_phrase or "no answer"}}
