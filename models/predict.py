"""Predict files for ``models predict``."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from lightmeter.errors import UsageError
from models.predictor import Predictor
from models.preprocess import PhotographError


def predict_files(predictor: Predictor, files: Sequence[Path]) -> list[dict[str, Any]]:
    """Return one answer a file, in their order; a file that is no usable photograph is answered with an error.

    Raises:
        UsageError: if a file is not there; nothing is predicted then.
    """
    for file in files:
        if not file.is_file():
            raise UsageError(f"There is no file {file}.")
    return [{"file": str(file), **_answer(predictor, file)} for file in files]


def _answer(predictor: Predictor, file: Path) -> dict[str, Any]:
    try:
        photograph = predictor.read(file.read_bytes())
    except PhotographError as error:
        return {"error": {"status": error.status, "reason": error.reason}}
    return predictor.predict([photograph])[0].as_dict()
