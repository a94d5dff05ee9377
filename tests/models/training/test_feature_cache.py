"""Caches that cannot lie: their keys, their locks and their place."""

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from lightmeter.errors import LightmeterError
from lightmeter.labels.datasets.dataset import Dataset
from lightmeter.models import architectures
from lightmeter.models.architectures import register_architecture
from lightmeter.models.architectures.base import LinearHeads
from lightmeter.models.runtime.predictor import Predictor
from lightmeter.models.training import feature_cache
from lightmeter.models.training.feature_cache import cache_root, cached_features, cached_inputs, output_identity
from tests.models.conftest import spec_of


@register_architecture("pooled")
class Pooled(nn.Module):
    """A network whose option changes its features and no weight."""

    def __init__(self, spec: Any, *, how: str = "mean") -> None:
        super().__init__()
        self.how, self.scale, self.heads = how, nn.Parameter(torch.ones(1)), LinearHeads(3, spec.classes)

    def features(self, inputs: dict[str, Tensor]) -> Tensor:
        pixels = inputs["view"].flatten(2) * self.scale
        return pixels.amax(2) if self.how == "most" else pixels.mean(2)

    def forward(self, inputs: dict[str, Tensor]) -> Any:
        return self.heads(self.features(inputs))


@register_architecture("pooled-again")
class PooledAgain(Pooled):
    """The same network under another name."""


def pooled(name: str = "pooled", **options: Any) -> Predictor:
    spec = spec_of(name, **options)
    return Predictor(spec, architectures.build(spec))


def identity(predictor: Predictor) -> str:
    return json.dumps(output_identity(predictor, "features", lambda name: not name.startswith("heads.")))


def test_everything_that_decides_the_content_is_in_the_key(monkeypatch: pytest.MonkeyPatch) -> None:
    same = {identity(pooled()) for _ in range(2)}
    assert len(same) == 1
    other_preprocessing, other_weights, other_device = pooled(), pooled(), pooled()
    preprocessing = replace(other_preprocessing.spec.preprocessing, view_size=64)
    other_preprocessing.spec = replace(other_preprocessing.spec, preprocessing=preprocessing)
    other_weights.network.get_parameter("scale").data += 1
    other_device.device = torch.device("cuda")
    other_heads = pooled()
    other_heads.network.get_parameter("heads.targets.shutter.weight").data += 1
    assert identity(other_heads) in same
    keys = [*same, *map(identity, (other_preprocessing, other_weights, other_device))]
    keys += [identity(pooled(how="most")), identity(pooled("pooled-again"))]

    @contextmanager
    def changed(name: str, value: object) -> Iterator[None]:
        with monkeypatch.context() as patch:
            patch.setattr(feature_cache, name, value)
            yield

    version = feature_cache._version
    for package in ("lightmeter", "torch", "timm", "pillow", "numpy"):
        with changed("_version", lambda name, package=package: "0.0" if name == package else version(name)):
            keys.append(identity(pooled()))
    for plugin in ("1.0", "1.1"):
        dist = SimpleNamespace(dist=SimpleNamespace(name="plugin", version=plugin))
        with changed("entry_points", lambda dist=dist, **_: [dist]):
            keys.append(identity(pooled()))
    with changed("_source_sha256", lambda _: "edited"):
        keys.append(identity(pooled()))
    assert len(set(keys)) == len(keys)


def test_options_that_change_no_weight_have_their_own_features(dataset: Dataset) -> None:
    rows = dataset.rows("train")
    mean, most = (cached_features(pooled(how=how), dataset, rows).arrays["features"] for how in ("mean", "most"))
    assert not np.allclose(mean, most)


def test_processes_that_need_the_same_cache_compute_it_once(dataset: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[object] = []
    preprocess = Predictor.preprocess
    monkeypatch.setattr(
        Predictor, "preprocess", lambda self, data, *args: calls.append(data) or preprocess(self, data, *args)
    )
    rows, predictor = dataset.rows("train"), pooled()
    with ThreadPoolExecutor(4) as pool:
        results = list(pool.map(lambda _: cached_inputs(predictor, dataset, rows), range(4)))
    assert len(calls) == len(rows)
    assert all(np.array_equal(result.arrays["view"], results[0].arrays["view"]) for result in results)
    assert {path.suffix for path in cache_root().iterdir()} == {""}


def test_damaged_cache_is_named(dataset: Dataset) -> None:
    rows, predictor = dataset.rows("train"), pooled()
    cached_inputs(predictor, dataset, rows)
    (folder,) = cache_root().iterdir()
    (folder / "view.npy").write_bytes(b"junk")
    with pytest.raises(LightmeterError, match="is damaged; delete this folder"):
        cached_inputs(predictor, dataset, rows)


def test_cache_is_where_it_can_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_home() -> Path:
        raise RuntimeError

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.setattr(Path, "home", no_home)
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert cache_root().parent == tmp_path
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    assert cache_root().parent == tmp_path
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    assert cache_root() == tmp_path / "cache" / "lightmeter"
