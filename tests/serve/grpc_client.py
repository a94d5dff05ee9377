"""A gRPC client of a running server, generated from TorchServe's protocol file."""

import json
import sys
import zipfile
from functools import cache
from pathlib import Path
from typing import Any, Self

import pytest

from lightmeter.serve.torchserve.environment import torchserve_folder
from tests.serve.support import RunningServer


@cache
def protocol(folder: Path) -> tuple[Any, Any]:
    """Return the messages and services of TorchServe's protocol file."""
    import grpc

    with zipfile.ZipFile(torchserve_folder() / "frontend" / "model-server.jar") as jar:
        for name in ("inference.proto", "google/rpc/status.proto"):
            jar.extract(name, folder)
    sys.path.insert(0, str(folder))
    try:
        return grpc.protos_and_services("inference.proto")
    finally:
        sys.path.remove(str(folder))


class GrpcClient:
    """A gRPC client with a token.

    Args:
        server: The server.
        folder: Folder for the protocol file.
    """

    def __init__(self, server: RunningServer, folder: Path) -> None:
        import grpc

        self._messages, services = protocol(folder.parent)
        self._channel = grpc.insecure_channel(server.state.grpc)
        self._stub = services.InferenceAPIsServiceStub(self._channel)
        self.token = server.token()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self._channel.close()

    def future(self, model: str = "tiny", version: str = "", **fields: bytes) -> Any:
        """Send a request; return the future of its response."""
        request = self._messages.PredictionsRequest(model_name=model, model_version=version, input=fields)
        return self._stub.Predictions.future(request, metadata=[("authorization", f"Bearer {self.token}")], timeout=60)

    def predict(self, model: str = "tiny", version: str = "", **fields: bytes) -> Any:
        """Return the response to a request."""
        return json.loads(self.future(model, version, **fields).result().prediction)

    def error_code(self, **fields: Any) -> Any:
        """Return the status code of a request that must fail."""
        import grpc

        with pytest.raises(grpc.RpcError) as error:
            self.predict(**fields)
        return error.value.code()
