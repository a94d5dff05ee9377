"""TorchServe as the engine behind the gateway."""

import asyncio
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lightmeter.serve.gateway.app import Answer, Call, EngineUnavailable
from lightmeter.serve.gateway.connection import ConnectionFailed, EngineConnection, EngineResponse

_PLAIN = {"Content-Type": "application/octet-stream"}
_OK = 200
_READY_TIMEOUT_S = 5.0
_READING_TRIES = 20
_SNIFFED_BYTES = 200


class TorchServeEngine:
    """A TorchServe that listens on loopback.

    Args:
        connection: Connections to it.
        inference: Address of its inference API.
        management: Address of its management API.
        keys: File in which it writes its tokens; it does not exist if tokens are disabled.

    Attributes:
        tokens: Its tokens, as they were last read: ``inference``, ``management`` and ``API``.
    """

    def __init__(self, connection: EngineConnection, inference: str, management: str, keys: Path) -> None:
        self._connection = connection
        self._inference, self._management, self._keys = inference, management, keys
        self.tokens: Mapping[str, Any] = {}
        self._renewal = asyncio.Lock()

    async def ready(self) -> bool:
        """Return whether every version of every model has a ready worker.

        TorchServe's ``/ping`` is not used: it says "Healthy" even when all workers are dead.
        """
        try:
            async with asyncio.timeout(_READY_TIMEOUT_S):
                names = [model["modelName"] for model in (await self._manage("/models"))["models"]]
                models = [model for name in names for model in await self._manage(f"/models/{name}/all")]
        except (ConnectionFailed, ValueError, KeyError, TypeError, TimeoutError):
            return False
        return bool(models) and all(has_ready_worker(model) for model in models)

    async def predict(self, call: Call) -> Answer:
        """Answer a request.

        Raises:
            EngineUnavailable: TorchServe does not respond.
        """
        kind = "explanations" if call.explain else "predictions"
        path = f"/{kind}/{call.model}" + (f"/{call.version}" if call.version else "")
        try:
            response = await self._post(path, call)
            if b"InvalidKeyException" in response.content[:_SNIFFED_BYTES]:  # the token was just being replaced
                async with self._renewal:
                    pass
                response = await self._post(path, call)
        except ConnectionFailed as error:
            raise EngineUnavailable("TorchServe does not respond; it may be starting. Try again.") from error
        return Answer(response.status, response.content)

    async def renew_token(self) -> None:
        """Let TorchServe replace its inference token, which only the gateway and gRPC clients use.

        Raises:
            ConnectionFailed: It does not.
            TimeoutError: It does not respond.
        """
        async with self._renewal, asyncio.timeout(_READY_TIMEOUT_S):
            await self._get("/token?type=inference", "API")
            await self.read_tokens()

    async def read_tokens(self) -> Mapping[str, Any]:
        """Read and return TorchServe's tokens.

        Raises:
            OSError: There is no file.
            ValueError: The file is not complete; TorchServe does not write it atomically.
        """
        for attempt in range(_READING_TRIES):
            try:
                tokens = json.loads(self._keys.read_text(encoding="utf-8"))
                self.tokens = {kind: tokens[kind] for kind in ("inference", "management", "API") if tokens[kind]["key"]}
                break
            except (ValueError, KeyError):
                if attempt == _READING_TRIES - 1:
                    raise
                await asyncio.sleep(0.05)
        return self.tokens

    async def _post(self, path: str, call: Call) -> EngineResponse:
        """Send a plain body, or a form if there are options."""
        url, headers = self._inference + path, {**self._authorization("inference"), **call.headers}
        if set(call.fields) == {"body"}:
            return await self._connection.post(url, headers | _PLAIN, call.fields["body"])
        return await self._connection.post_form(url, headers, call.fields)

    async def _manage(self, path: str) -> Any:
        return json.loads(await self._get(path, "management"))

    async def _get(self, path: str, token: str) -> bytes:
        response = await self._connection.get(self._management + path, self._authorization(token))
        if response.status != _OK:
            raise ConnectionFailed(f"{path}: status {response.status}")
        return response.content

    def _authorization(self, kind: str) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.tokens[kind]['key']}"} if kind in self.tokens else {}


def has_ready_worker(model: Mapping[str, Any]) -> bool:
    """Return whether a worker is ready, from TorchServe's description of a model."""
    return any(worker["status"] == "READY" for worker in model["workers"])
