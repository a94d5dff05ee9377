"""Search for similar photographs."""

from pathlib import Path

import pytest

from lightmeter.labels.datasets.dataset import Dataset
from tests.support import run_json


def test_most_similar_photograph_is_the_photograph_itself(trained: Path, dataset: Dataset) -> None:
    row = dataset.rows("test")[0]
    results = run_json(
        *("models", "similar", trained, dataset.store.root / row["path"], "--data", dataset.folder, "--count", 5)
    )
    assert results[0]["sha256"] == row["sha256"]
    similarities = [result["similarity"] for result in results]
    assert similarities[0] == pytest.approx(1.0, abs=1e-5)
    assert similarities == sorted(similarities, reverse=True)
    assert len(results) == 5
