"""Training on WebDataset packs: read without unpacking, each tar file by one process."""

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from lightmeter.errors import UsageError
from lightmeter.labels.datasets.dataset import Dataset, read_dataset
from lightmeter.labels.datasets.export import export as exports
from lightmeter.labels.datasets.export import formats
from lightmeter.labels.datasets.pack import INDEX_FILE
from lightmeter.models.training import distributed
from lightmeter.models.training.data.batches import ShardBatches, epoch_batches, own_rows
from lightmeter.models.training.runs import read_metrics
from lightmeter.store.base import PhotographError
from tests.models.conftest import CNN, SMALL, history
from tests.support import CommandRunner, run_error, run_json


@pytest.fixture(scope="module")
def pack(dataset: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A pack with a few photographs in each tar file; it must not be changed."""
    source = Path(shutil.copytree(dataset.folder, tmp_path_factory.mktemp("source") / "data" / "noise-v1"))
    for name, text in (("README.md", ""), ("ATTRIBUTION.csv", "sha256\n"), ("card.html", "")):
        (source / name).write_text(text)
    for name in ("plots", "samples"):
        (source / name).mkdir()
    complete = replace(dataset, folder=source)
    complete.__dict__["store"] = dataset.store
    folder = tmp_path_factory.mktemp("packs") / "noise"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(formats, "MAX_SHARD_BYTES", 20_000)
        exports.export(complete, folder, "webdataset", any_licence=True)
    assert len(list(folder.glob("train-*.tar"))) > 2
    return folder


@pytest.fixture
def ranks(monkeypatch: pytest.MonkeyPatch) -> Callable[[int, int], None]:
    """Let this process be one of several."""

    def be(rank: int, count: int) -> None:
        monkeypatch.setattr(distributed, "rank", lambda: rank)
        monkeypatch.setattr(distributed, "world_size", lambda: count)
        monkeypatch.setattr(distributed, "gather", lambda value: [value] * count)

    return be


def test_pack_is_a_data_set_and_trains_like_the_one_it_was_made_of(
    dataset: Dataset, pack: Path, trained: Path, tmp_path: Path
) -> None:
    packed = read_dataset(pack)
    for split in ("train", "validation", "test"):
        labels = sorted((row["group"], row["label_shutter"]) for row in dataset.rows(split))
        assert sorted((row["group"], row["label_shutter"]) for row in packed.rows(split)) == labels
    assert packed.spec.split["packed"]["manifest_sha256"] == dataset.spec.manifest_sha256
    assert run_json("labels", "verify", pack)["violations"] == []
    files = sorted(pack.rglob("*"))
    run = run_json("models", "train", "patches", "--data", pack, "--out", tmp_path / "run", *SMALL)
    accuracy = run["metrics"]["validation"]["targets"]["shutter"]["accuracy"]["value"]
    assert accuracy == read_metrics(trained)["validation"]["targets"]["shutter"]["accuracy"]["value"]
    assert run_json("models", "evaluate", tmp_path / "run", "--data", pack, "--device", "cpu")["metrics"]["test"]
    assert sorted(pack.rglob("*")) == files


def test_each_tar_file_is_read_by_one_process(pack: Path, ranks: Callable[[int, int], None]) -> None:
    packed = read_dataset(pack)
    rows = packed.rows("train")
    files = {packed.store.pack_file(row["sha256"]) for row in rows}
    assert own_rows(packed, rows) is None
    for count in (2, len(files)):
        shares = []
        for rank in range(count):
            ranks(rank, count)
            shares.append(own_rows(packed, rows) or [])
        assert sorted(row["sha256"] for share in shares for row in share) == [row["sha256"] for row in rows]
        read = [{packed.store.pack_file(row["sha256"]) for row in share} for share in shares]
        assert sum(map(len, read)) == len(files)
        assert set.union(*read) == files
    ranks(0, len(files) + 1)
    with pytest.raises(UsageError, match=rf"are in {len(files)} shards, too few for {len(files) + 1} processes"):
        own_rows(packed, rows)


@pytest.mark.parametrize("lengths", [(5, 9), (2, 2), (30, 31, 29)])
def test_processes_take_equally_many_steps(lengths: tuple[int, ...], ranks: Callable[[int, int], None]) -> None:
    epochs = []
    for seed in (1, 1, 2):
        batches = []
        for rank, length in enumerate(lengths):
            ranks(rank, len(lengths))
            sampler = ShardBatches(length, min(lengths), 4 * len(lengths))
            sampler.seed = seed
            batches.append([batch.tolist() for batch in sampler])
            assert len(sampler) == len(batches[-1])
            indices = [index for batch in batches[-1] for index in batch]
            assert len({*indices}) == len(indices)
            assert set(indices) <= set(range(length))
        assert len({tuple(map(len, steps)) for steps in batches}) == 1
        epochs.append(batches)
    assert epochs[0] == epochs[1]
    assert epochs[0] != epochs[2] or max(lengths) == 2
    with pytest.raises(UsageError, match=r"No batch of 3 has two photographs for each of \d processes"):
        epoch_batches(40, 3, shards=True)


def test_two_processes_train_on_their_own_tar_files(pack: Path, tmp_path: Path, all_commands: CommandRunner) -> None:
    options = [*CNN, "--set", "epochs=2", "--set", "batch_size=8", "--data", str(pack)]
    result = all_commands.run(
        "models", "train", *options, "--out", tmp_path / "run", "--json", function="tests.models.processes:two"
    )
    assert result.code == 0, result.error
    assert result.document["metrics"]["training"]["processes"] == 2
    assert len(history(tmp_path / "run")) == 2


def test_pack_is_not_packed_again(pack: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="is a pack; pack the data set that it was made of"):
        exports.export(read_dataset(pack), tmp_path / "again", "webdataset")
    with pytest.raises(UsageError, match="--shard-mb is for --format webdataset"):
        exports.export(read_dataset(pack), tmp_path / "again", "parquet", shard_mb=1)


def test_incomplete_and_damaged_packs_are_one_sentence(pack: Path, tmp_path: Path) -> None:
    def train(folder: Path) -> str:
        return run_error("models", "train", "patches", "--data", folder, "--out", tmp_path / "run", *SMALL)

    copy = Path(shutil.copytree(pack, tmp_path / "copy"))
    tar = copy / "train-000001.tar"
    content = tar.read_bytes()
    for damage in (content.replace(b"JFIF", b"JFIX"), content[: len(content) // 2], b""):
        tar.write_bytes(damage)
        assert "(its bytes have changed)" in train(copy)
    with pytest.raises(PhotographError, match="it is not in the pack"):
        read_dataset(copy).store.read("0" * 64)
    tar.unlink()
    assert "is incomplete: train-000001.tar is missing; copy it again" in train(copy)
    tar.symlink_to(pack / tar.name)
    assert "train-000001.tar" in train(copy)
    tar.unlink()
    tar.write_bytes(content)
    index = pq.read_table(copy / INDEX_FILE)
    for table in (
        index.slice(0, 0),
        index.slice(1),
        index.drop_columns("size"),
        index.set_column(1, "file", pa.array(["../x.tar"] * len(index))),
        index.set_column(2, "offset", pa.array([-1] * len(index))),
        index.set_column(3, "size", pa.nulls(len(index), pa.int64())),
        read_dataset(copy).manifest,
    ):
        pq.write_table(table, copy / INDEX_FILE)
        assert f"{INDEX_FILE}" in train(copy)
    (copy / INDEX_FILE).write_bytes(b"junk")
    assert f"{INDEX_FILE} is damaged" in train(copy)
    (copy / INDEX_FILE).unlink()
    assert INDEX_FILE in train(copy)
