"""What the tests of serving share: a command line, a model, a photograph, a stranger's view of a server."""

import io
import json
import tomllib
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import tomli_w
import torch
from PIL import Image

from lightmeter.models import architectures
from lightmeter.models.runtime.spec import ModelSpec, Preprocessing, Target
from lightmeter.models.training.runs import write_model
from lightmeter.project import Project
from lightmeter.serve.torchserve.state import server_directory
from tests.support import run_command


def make_run(folder: Path, name: str, seed: int = 0) -> Path:
    """Make the run folder of a model that nobody has trained."""
    spec = ModelSpec(
        name=name,
        version="1.0",
        lightmeter="0",
        recipe="patches",
        architecture="efficientnet-lite0",
        preprocessing=Preprocessing(patches=2, patch_size=64),
        targets=(
            Target("shutter", ("slow", "middle", "fast"), (-3.0, -6.0, -10.0), "log2 s"),
            Target("medium", ("digital", "film")),
        ),
        data={"name": "made-up", "manifest_sha256": "ab" * 32},
    )
    _write(folder, spec, seed)
    mix = {
        "shutter": {"classes": ["slow", "middle", "fast"], "confusion": [[5, 1, 0], [0, 5, 1], [0, 0, 6]]},
        "medium": {"classes": ["digital", "film"], "confusion": [[5, 1], [2, 4]]},
    }
    (folder / "metrics.json").write_text(json.dumps({"validation": {"targets": mix}}), encoding="utf-8")
    (folder / "README.md").write_text("# A model that nobody has trained\n", encoding="utf-8")
    return folder


def make_fusion(folder: Path) -> Path:
    """Make the run folder of a model that is given EXIF tags too, and tells several classes at once."""
    spec = ModelSpec(
        name="fusion",
        version="1.0",
        lightmeter="0",
        recipe="lederer-fusion",
        architecture="fusion",
        preprocessing=Preprocessing(patches=0, view_size=64, exif=("f_number", "iso")),
        targets=(
            Target("concept", ("portrait", "street", "night"), multiple=True),
            Target("medium", ("digital", "film")),
        ),
        ranges={"long_side": (300.0, 400.0)},
    )
    _write(folder, spec, 8)
    return folder


def make_untrained(folder: Path, architecture: str, preprocessing: Preprocessing) -> Path:
    """Make the run folder of a model of some architecture."""
    targets = (Target("shutter", ("slow", "fast"), (-3.0, -10.0), "log2 s"),)
    _write(folder, ModelSpec(folder.name, "1.0", "0", "none", architecture, preprocessing, targets), 0)
    return folder


def _write(folder: Path, spec: ModelSpec, seed: int) -> None:
    torch.manual_seed(seed)
    folder.mkdir(parents=True)
    write_model(folder, spec, architectures.build(spec))


def broken(archive: Path) -> Path:
    """Change an archive so that its model asks for more weights than there are."""
    with zipfile.ZipFile(archive) as source:
        inside = {name: source.read(name) for name in source.namelist()}
    spec = tomllib.loads(inside["run/model.toml"].decode())
    spec["targets"][0]["classes"].append("faster")
    spec["targets"][0]["stops"].append(-12.0)
    inside["run/model.toml"] = tomli_w.dumps(spec).encode()
    with zipfile.ZipFile(archive, "w") as target:
        for name, content in inside.items():
            target.writestr(name, content)
    return archive


def make_photograph(seed: int = 0, size: tuple[int, int] = (320, 240)) -> bytes:
    """Return the bytes of a JPEG of coloured noise."""
    pixels = np.random.default_rng(seed).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "JPEG", quality=90)
    return file.getvalue()


@dataclass(frozen=True)
class Server:
    """A running server, as a stranger to the project sees it: an address and a token."""

    project: Project
    name: str = "main"

    @property
    def state(self) -> Any:
        """What the project remembers of it."""
        state = server_directory(self.project, self.name).read()
        assert state is not None
        return state

    def key(self, purpose: str = "inference") -> str:
        """Return a token."""
        return json.loads(server_directory(self.project, self.name).keys.read_text())[purpose]["key"]

    def ask(self, path: str, key: str | None = None, **request: Any) -> httpx.Response:
        """Send a request to the inference address."""
        headers = {"Authorization": f"Bearer {key or self.key()}", **request.pop("headers", {})}
        with httpx.Client(trust_env=False, timeout=60) as client:
            return client.post(self.state.inference + path, headers=headers, **request)

    def metrics(self) -> str:
        """Return what Prometheus would scrape."""
        headers = {"Authorization": f"Bearer {self.key()}"}
        with httpx.Client(trust_env=False) as client:
            return client.get(f"{self.state.metrics}/metrics", headers=headers).text

    def worker(self) -> int:
        """Return the process id of the first model's first worker."""
        document = run_command("serve", "status", "--server", self.name, "--json", project=self.project.root).document
        return document["models"][0]["pids"][0]
