"""Batches of requests on a GPU, whose photographs pass through the network together."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from lightmeter.models.runtime.predictor import Predictor
from lightmeter.serve.handler.service import PredictionService
from tests.serve.support import make_photo, make_run

REQUESTS = [
    ({"body": make_photo(1)}, False),
    ({"body": b"no photograph"}, False),
    ({"body": make_photo(2), "targets": "nonsense"}, False),
    ({"body": make_photo(3), "top_k": "1"}, True),
    ({"body": make_photo(4)}, False),
]


@pytest.mark.parametrize("memory", [8, 1])
def test_requests_of_a_batch_get_the_answers_that_each_gets_alone(
    memory: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    predictor = Predictor.load(make_run(tmp_path / "run", "tiny"))
    expected = [PredictionService(predictor).respond(fields, explain=explain) for fields, explain in REQUESTS]
    assert [answer.status for answer in expected] == [200, 415, 400, 200, 200]
    predictor.batch_size = 8  # as on a GPU
    sizes: list[int] = []
    compute = predictor.compute

    def counted(output: Any, inputs: dict[str, NDArray[Any]]) -> dict[str, NDArray[np.float32]]:
        sizes.append(len(inputs["patches"]))
        if sizes[-1] > memory:
            raise RuntimeError("out of memory")
        return compute(output, inputs)

    monkeypatch.setattr(predictor, "compute", counted)
    answers = PredictionService(predictor).respond_to_batch(REQUESTS)
    assert sizes[0] == 3
    for answer, alone in zip(answers, expected, strict=True):
        assert answer.status == alone.status
        assert answer.document == _approximately(alone.document)


def _approximately(value: Any) -> Any:
    """Return a document that equals those with nearly the same numbers: a batch rounds sums differently."""
    if isinstance(value, dict):
        return {key: _approximately(each) for key, each in value.items()}
    if isinstance(value, list):
        return [_approximately(each) for each in value]
    return pytest.approx(value, abs=1e-5) if isinstance(value, float) else value
