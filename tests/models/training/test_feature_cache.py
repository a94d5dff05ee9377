"""Caches that cannot lie: their keys, their locks and their place."""

import json
import os
import pickle
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
from lightmeter.executors.base import Executor, Failed, WorkerCrashed
from lightmeter.labels.datasets.dataset import Dataset
from lightmeter.models import architectures
from lightmeter.models.architectures import register_architecture
from lightmeter.models.architectures.base import LinearHeads
from lightmeter.models.runtime.predictor import Predictor
from lightmeter.models.runtime.preprocess import InvalidPhoto
from lightmeter.models.training import packed_model
from lightmeter.models.training.data import identity as identities
from lightmeter.models.training.data import pipeline, remote_outputs
from lightmeter.models.training.data.feature_cache import cache_root, cached_outputs
from lightmeter.models.training.data.identity import output_identity
from lightmeter.models.training.data.pipeline import Computed, each_output
from tests.models.conftest import MEDIUM, SHUTTER, make_dataset, spec_of


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


@pytest.fixture
def forward_passes(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The number of photographs in each forward pass."""
    passes: list[int] = []
    features = Pooled.features

    def counted(self: Pooled, inputs: dict[str, Tensor]) -> Tensor:
        passes.append(len(inputs["view"]))
        return features(self, inputs)

    monkeypatch.setattr(Pooled, "features", counted)
    return passes


def pooled(name: str = "pooled", **options: Any) -> Predictor:
    spec = spec_of(name, **options)
    return Predictor(spec, architectures.build(spec))


def identity(predictor: Predictor) -> str:
    return json.dumps(output_identity(predictor, "features"))


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
            patch.setattr(identities, name, value)
            yield

    version = identities._version
    for package in ("lightmeter", "torch", "timm", "pillow", "numpy"):
        with changed("_version", lambda name, package=package: "0.0" if name == package else version(name)):
            keys.append(identity(pooled()))
    for plugin in ("1.0", "1.1"):
        package = SimpleNamespace(distribution="plugin", version=plugin)
        with changed("installed", lambda _, package=package: {"pooled": package}):
            keys.append(identity(pooled()))
    with changed("_source_sha256", lambda _: "edited"):
        keys.append(identity(pooled()))
    assert len(set(keys)) == len(keys)


def test_options_that_change_no_weight_have_their_own_features(dataset: Dataset) -> None:
    rows = dataset.rows("train")
    mean, most = (
        cached_outputs(pooled(how=how), "features", dataset, rows).all()["features"] for how in ("mean", "most")
    )
    assert not np.allclose(mean, most)


def test_processes_that_need_the_same_cache_compute_it_once(dataset: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[object] = []
    preprocess = pipeline.preprocess
    monkeypatch.setattr(pipeline, "preprocess", lambda data, *args: calls.append(data) or preprocess(data, *args))
    rows, predictor = dataset.rows("train"), pooled()
    with ThreadPoolExecutor(4) as pool:
        results = list(pool.map(lambda _: cached_outputs(predictor, None, dataset, rows), range(4)))
    assert len(calls) == len(rows)
    assert all(np.array_equal(result.all()["view"], results[0].all()["view"]) for result in results)
    assert {path.suffix for path in cache_root().iterdir()} == {""}


def test_other_targets_and_splits_compute_nothing_again(tmp_path: Path, forward_passes: list[int]) -> None:
    dataset = make_dataset(tmp_path / "noise-v1", damaged=[0], targets=(SHUTTER, MEDIUM))
    splits = [dataset.rows(split) for split in ("train", "validation")]
    first = [cached_outputs(pooled(), "features", dataset, rows) for rows in splits]
    assert len(forward_passes) == sum(len(inputs) for inputs in first) == 23
    assert next(photo["reason"] for inputs in first for photo in inputs.unreadable).startswith("The image is damaged")
    mixed = cached_outputs(pooled(), "features", dataset, [*splits[1], *splits[0]])
    assert len(forward_passes) == 23
    order = [row["sha256"] for row in mixed.rows]
    assert order == [row["sha256"] for inputs in reversed(first) for row in inputs.rows]
    expected = np.concatenate([inputs.all()["features"] for inputs in reversed(first)])
    assert np.array_equal(mixed.all()["features"], expected)
    cached_outputs(pooled(), "features", dataset, [*splits[0], *dataset.rows("test")])
    assert len(forward_passes) == 35


def test_interrupted_computation_keeps_what_is_done(
    dataset: Dataset, forward_passes: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = dataset.rows("train")
    read = pipeline.read_photograph

    def read_seven(store: Path, sha256: str) -> bytes:
        if sha256 == rows[7]["sha256"]:
            raise LightmeterError("the seventh is gone")
        return read(store, sha256)

    with monkeypatch.context() as patch:
        patch.setattr(pipeline, "read_photograph", read_seven)
        with pytest.raises(LightmeterError, match="the seventh is gone"):
            cached_outputs(pooled(), "features", dataset, rows)
    (folder,) = cache_root().iterdir()
    done = (folder / "photographs.jsonl").read_text().count('"position"')
    assert done == 7
    forward_passes.clear()
    with (folder / "photographs.jsonl").open("ab") as index, (folder / "features.bin").open("ab") as arrays:
        index.write(b'{"photograph": "half a l')  # killed while it wrote
        arrays.write(b"half an array")
    inputs = cached_outputs(pooled(), "features", dataset, rows)
    assert len(forward_passes) == len(rows) - done
    again = cached_outputs(pooled(), "features", dataset, rows)
    assert np.array_equal(inputs.all()["features"], again.all()["features"])
    assert [row["sha256"] for row in inputs.rows] == [row["sha256"] for row in rows]


def test_damaged_cache_is_named(dataset: Dataset) -> None:
    rows, predictor = dataset.rows("train"), pooled()
    cached_outputs(predictor, None, dataset, rows)
    (folder,) = cache_root().iterdir()
    changed = bytearray((folder / "view.bin").read_bytes())
    changed[-1] ^= 1
    for name, content in (("view.bin", changed), ("view.bin", b"junk\n"), ("photographs.jsonl", b"junk\n")):
        (folder / name).write_bytes(content)
        with pytest.raises(LightmeterError, match="is damaged; delete this folder"):
            cached_outputs(predictor, None, dataset, rows)


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


def test_batches_are_decoded_by_processes(
    tmp_path: Path, forward_passes: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    dataset = make_dataset(tmp_path / "noise-v1", damaged=[0])
    rows, predictor = dataset.rows(), pooled()
    single = list(each_output(predictor, "features", dataset, rows, ""))
    forward_passes.clear()
    predictor.batch_size = 10
    batched = list(each_output(predictor, "features", dataset, rows, ""))
    assert [row for row, _ in batched] == rows
    assert len(forward_passes) == -(-len(rows) // 10)
    assert sum(forward_passes) == len(rows) - 1
    for (_, one), (_, other) in zip(single, batched, strict=True):
        if isinstance(one, InvalidPhoto):
            assert isinstance(other, InvalidPhoto)
            assert (one.status, one.reason) == (other.status, other.reason)
        else:
            assert isinstance(other, Computed)
            assert one.statistics == other.statistics
            assert np.allclose(one.arrays["features"], other.arrays["features"])
    monkeypatch.setattr(pipeline, "preprocess", lambda *_: os._exit(1))
    with pytest.raises(LightmeterError, match="was killed"):
        list(each_output(predictor, "features", dataset, rows, ""))


class AnotherMachine(Executor):
    """Runs shards as a cluster does: the function and its results are pickled, and shards end in another order."""

    shard_size = 1

    def __init__(self, lost: int = 0) -> None:
        self.lost = lost

    def run(self, function: Any, shards: Any, stopped: Any = None) -> Iterator[Any]:
        for number, shard in enumerate(reversed(list(shards))):
            if number == self.lost - 1:
                yield shard, [Failed(WorkerCrashed("the worker process died"))]
            try:
                results = [pickle.loads(pickle.dumps(function))(item) for item in shard.items]
            except LightmeterError as error:
                results = [Failed(error)]
            yield shard, pickle.loads(pickle.dumps(results))


def test_a_cluster_computes_the_same_and_resumes_with_what_is_missing(
    tmp_path: Path, forward_passes: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(remote_outputs, "_BATCH", 5)
    monkeypatch.setattr(packed_model, "select_engine", lambda engine, device: (engine, device))
    dataset = make_dataset(tmp_path / "noise-v1", damaged=[0])
    rows = dataset.rows("train")
    with pytest.raises(
        LightmeterError, match="A process of the cluster died repeatedly; give its machines more memory"
    ):
        cached_outputs(pooled(), "features", dataset, rows, AnotherMachine(lost=2))
    computed = len(forward_passes)
    assert 0 < computed <= 5
    remote = cached_outputs(pooled(), "features", dataset, rows, AnotherMachine())
    assert len(forward_passes) == len(rows) - len(remote.unreadable)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "another-cache"))
    local = cached_outputs(pooled(), "features", dataset, rows)
    assert np.array_equal(remote.all()["features"], local.all()["features"])
    assert (remote.rows, remote.statistics, remote.unreadable) == (local.rows, local.statistics, local.unreadable)
    assert len(local.unreadable) == 1


def test_a_machine_that_would_compute_something_else_is_refused(
    dataset: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    predictor, own = pooled(), identities.output_identity
    monkeypatch.setattr(remote_outputs, "output_identity", lambda *args: own(*args) | {"packages": len(args)})
    with pytest.raises(LightmeterError, match="with another packages than this one; install the same versions"):
        cached_outputs(predictor, "features", dataset, dataset.rows("train"), AnotherMachine())
