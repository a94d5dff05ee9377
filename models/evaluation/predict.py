"""Predict files for ``models predict``."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from lightmeter.errors import UsageError
from lightmeter.models.evaluation.exif_file import told_of
from lightmeter.models.runtime.exif_features import Tags
from lightmeter.models.runtime.input_warnings import input_warnings
from lightmeter.models.runtime.predictor import Predictor
from lightmeter.models.runtime.preprocess import InvalidPhoto


def predict_files(predictor: Predictor, files: Sequence[Path], exif: Path | None = None) -> list[dict[str, Any]]:
    """Return one answer a file, in their order; a file that is no usable photograph is answered with an error.

    Args:
        predictor: that reads them.
        files: photographs.
        exif: JSON file of tags that are told beside them.

    Raises:
        UsageError: if a file is not there; nothing is predicted then.
    """
    for file in files:
        if not file.is_file():
            raise UsageError(f"There is no file {file}.")
    told = told_of(exif, files)
    return [{"file": str(file), **_answer(predictor, file, tags)} for file, tags in zip(files, told, strict=True)]


def _answer(predictor: Predictor, file: Path, exif: Tags | None) -> dict[str, Any]:
    data = file.read_bytes()
    try:
        photograph = predictor.preprocess(data, exif=exif)
    except InvalidPhoto as error:
        return {"error": {"status": error.status, "reason": error.reason}}
    reading = predictor.predict(photograph).as_dict()
    warnings = input_warnings(data, photograph, predictor.spec)
    return {**reading, "warnings": warnings} if warnings else reading
