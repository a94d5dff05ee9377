"""Helpers of the serving benchmarks: untrained models, photographs of noise, a running server."""

import io
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
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

CONNECTIONS = 64
OCTET_STREAM = {"Content-Type": "application/octet-stream"}


@dataclass(frozen=True)
class ServedModel:
    """A model that Lightmeter serves with TorchServe.

    Attributes:
        url: URL that photographs are posted to.
        http: HTTP client with the access token.
        state: State of the server.
    """

    url: str
    http: httpx.Client
    state: ServerState

    def predict(self, data: bytes) -> httpx.Response:
        """Post a request body."""
        return self.http.post(self.url, content=data)


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
        with client({"Authorization": f"Bearer {key}", **OCTET_STREAM}) as http:
            yield ServedModel(f"{state.inference}/predictions/{archive.name}", http, state)
    finally:
        server.stop(directory)


def client(headers: dict[str, str]) -> httpx.Client:
    """Return an HTTP client with one connection per benchmark client."""
    limits = httpx.Limits(max_connections=CONNECTIONS, max_keepalive_connections=CONNECTIONS)
    return httpx.Client(headers=headers, timeout=120, trust_env=False, limits=limits)


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
