"""``models predict --where QUERY --out FILE``."""

from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from lightmeter.executors.local import SerialExecutor
from lightmeter.labels.datasets.dataset import Dataset
from lightmeter.models.evaluation import catalogue_predictions
from lightmeter.models.runtime.predictor import Predictor
from lightmeter.project import Project
from tests.support import create_project, run_error, run_json


@pytest.fixture
def catalogue(dataset: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    """A project whose catalogue has the photographs of the data set and one that is missing in the store."""
    monkeypatch.setenv("LIGHTMETER_STORE__URL", f"file:{dataset.store.root}")
    project = create_project(tmp_path / "project")
    monkeypatch.chdir(project.root)
    from lightmeter.harvest.catalogue.database.session import open_engine
    from lightmeter.harvest.catalogue.models import Image

    hashes = [row["sha256"] for row in dataset.rows()] + ["0" * 64]
    engine = open_engine(project)
    values = {"format": "JPEG", "width": 160, "height": 120, "file_size": 1, "problem": None, "quantisation": None}
    with engine.begin() as connection:
        connection.execute(Image.__table__.insert(), [{"sha256": sha256, **values} for sha256 in hashes])
    engine.dispose()
    return project


def test_photographs_of_the_catalogue_are_predicted_and_an_interruption_continues(
    catalogue: Project, dataset: Dataset, trained: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(catalogue_predictions, "_BATCH", 10)
    saved: list[str] = []

    def save_or_stop(records: catalogue_predictions.ShardRecords, key: str, table: Any) -> None:
        if len(saved) == 2:
            raise KeyboardInterrupt
        saved.append(key)
        save(records, key, table)

    save = catalogue_predictions.ShardRecords.save
    with monkeypatch.context() as interrupted:
        interrupted.setattr(catalogue_predictions.ShardRecords, "save", save_or_stop)
        with pytest.raises(KeyboardInterrupt):
            catalogue_predictions.predict_catalogue(
                catalogue_predictions.PackedModel.of_run(trained, "cpu", None),
                catalogue.store,
                [row["sha256"] for row in dataset.rows()] + ["0" * 64],
                Path("predictions.parquet"),
                SerialExecutor(),
            )
    assert not Path("predictions.parquet").exists()
    monkeypatch.setattr(
        catalogue_predictions.ShardRecords,
        "save",
        lambda records, key, table: (saved.append(key), save(records, key, table)),
    )
    result = run_json("models", "predict", trained, "--where", "", "--out", "predictions.parquet", "--device", "cpu")
    assert len(saved) == len({*saved}) == 4
    assert (result["photographs"], result["rows"]) == (36, 36)
    assert result["failed"] == {"0" * 64: "store: No such file or directory"}
    assert not Path("predictions.parquet.parts").exists()

    table = pq.read_table("predictions.parquet")
    assert table.column_names == ["sha256", "target", "class", "probabilities", "stops"]
    assert table.schema.metadata[b"classes:shutter"] == b"fast|slow"
    predictor = Predictor.load(trained)
    for row in table.to_pylist()[::9]:
        expected = predictor.predict(dataset.read(row["sha256"])).predictions["shutter"]
        assert row["class"] == expected.label
        assert row["probabilities"] == pytest.approx(list(expected.probabilities.values()), abs=1e-6)
        assert row["stops"] == pytest.approx(expected.stops, abs=1e-5)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ((), "Name photographs, or select"),
        (("--where", ""), "both --where and --out"),
        (("--where", "", "--out", "x.csv"), "ends in .parquet"),
        (("--where", "", "--out", "x.parquet", "--address", "h:1"), "add --executor ray"),
        (("--where", "", "--out", "x.parquet", "--executor", "ray", "--address", "h"), "use HOST:PORT"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_wrong_use_is_one_sentence(catalogue: Project, trained: Path, options: tuple[str, ...], message: str) -> None:
    assert message in run_error("models", "predict", trained, *options)
    assert not list(Path().glob("x.*"))
