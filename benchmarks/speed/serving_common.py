"""Helpers of the serving benchmarks: untrained models, photographs of noise, a running server."""

import io
import json
import os
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from http import HTTPStatus
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from urllib.parse import urlsplit

import numpy as np
import torch
from PIL import Image, ImageFilter

from lightmeter.models import architectures
from lightmeter.models.runtime.spec import ModelSpec, Preprocessing, Target
from lightmeter.models.training.runs import write_model
from lightmeter.project import Project
from lightmeter.serve.archive import Archive, write_archive
from lightmeter.serve.torchserve import server
from lightmeter.serve.torchserve.state import ServerState, server_directory

_TIMEOUT_S = 120
OCTET_STREAM = {"Content-Type": "application/octet-stream"}


@dataclass(frozen=True)
class ServedModel:
    """A model that Lightmeter serves with TorchServe.

    Attributes:
        client: Client with the access token.
        state: State of the server.
    """

    client: "Client"
    state: ServerState


@contextmanager
def serving(
    project: Project, model: Path | Archive, server_name: str = "main", **settings: object
) -> Iterator[ServedModel]:
    """Serve a run or an archive within the block, with changed settings of ``[serve]``."""
    for name, value in settings.items():
        os.environ[f"LIGHTMETER_SERVE__{name.upper()}"] = str(value)
    configured = Project(project.root)
    directory = server_directory(configured, server_name)
    archive = model if isinstance(model, Archive) else write_archive(model, configured.archives)
    state = server.start(configured, [archive.path], server.StartOptions(server_name))
    try:
        key = json.loads(directory.keys.read_text(encoding="utf-8"))["inference"]["key"]
        headers = {"Authorization": f"Bearer {key}", **OCTET_STREAM}
        yield ServedModel(Client(f"{state.inference}/predictions/{archive.name}", headers), state)
    finally:
        server.stop(directory)


class Client:
    """A client that takes little time of the cores that it shares with the servers: a connection for each thread.

    Args:
        url: URL that photographs are posted to.
        headers: Headers of each request.
    """

    def __init__(self, url: str, headers: Mapping[str, str]) -> None:
        self._parts, self._headers = urlsplit(url), dict(headers)
        self._local = threading.local()

    def status(self, data: bytes) -> int:
        """Post a request body; return the status of the answer, which is read."""
        if not hasattr(self._local, "connection"):
            self._local.connection = HTTPConnection(self._parts.netloc, timeout=_TIMEOUT_S)
        connection: HTTPConnection = self._local.connection
        try:
            connection.request("POST", self._parts.path, data, self._headers)
            response = connection.getresponse()
            response.read()
        except (HTTPException, OSError):
            connection.close()  # the next request opens it again
            raise
        return response.status

    def predict(self, data: bytes) -> None:
        """Post a photograph.

        Raises:
            RuntimeError: It was not predicted.
        """
        if (status := self.status(data)) != HTTPStatus.OK:
            raise RuntimeError(f"status {status}")


def untrained(folder: Path, preprocessing: Preprocessing) -> Path:
    """Write a run folder of the recipe ``patches`` with random weights."""
    folder.mkdir(parents=True)
    spec = ModelSpec(
        name=folder.name,
        version="1.0",
        lightmeter="0",
        recipe="patches",
        architecture="efficientnet-lite0",
        preprocessing=preprocessing,
        targets=(Target("shutter", ("slow", "fast")),),
    )
    torch.manual_seed(0)
    write_model(folder, spec, architectures.build(spec))
    return folder


def noise(count: int) -> list[bytes]:
    """Return JPEG files of blurred noise, 1024 × 768 pixels and about 200 kB each, like photographs on the web."""
    files = []
    for seed in range(count):
        pixels = np.random.default_rng(seed).integers(0, 256, (768, 1024, 3), dtype=np.uint8)
        file = io.BytesIO()
        Image.fromarray(pixels).filter(ImageFilter.GaussianBlur(1)).save(file, "JPEG", quality=85)
        files.append(file.getvalue())
    return files
