"""Prediction of files for ``models predict``, with EXIF from a JSON file where a model needs it."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lightmeter.errors import UsageError
from lightmeter.models.runtime.exif_features import Tags
from lightmeter.models.runtime.input_warnings import input_warnings
from lightmeter.models.runtime.preprocess import InvalidPhoto, read_photo
from lightmeter.text.documents import read_json

if TYPE_CHECKING:  # `serve predict` reads EXIF files without importing torch
    from lightmeter.models.runtime.predictor import Predictor

_FILE_KEY = "SourceFile"


def predict_files(predictor: "Predictor", files: Sequence[Path], exif: Path | None = None) -> list[dict[str, Any]]:
    """Return one prediction per file, in order; a file that is missing or unusable gives an error instead.

    Args:
        predictor: Predictor of the model.
        files: Photographs.
        exif: JSON file with EXIF tags of the photographs; they take precedence over those in the files.
    """
    tags = read_exif_file(exif, files)
    return [{"file": str(file), **_predict(predictor, file, own)} for file, own in zip(files, tags, strict=True)]


def read_exif_file(exif: Path | None, files: Sequence[Path]) -> list[Tags | None]:
    """Return the EXIF tags of each file, None where there are none.

    Args:
        exif: JSON file: an object of tags for all files, or a list of objects with a ``SourceFile`` each, as
            ``exiftool -n -json`` writes it. None for no tags.
        files: Photographs.

    Raises:
        UsageError: The JSON file cannot be read or has another structure.
    """
    if exif is None:
        return [None] * len(files)
    document = read_json(exif)
    if isinstance(document, dict):
        return [document] * len(files)
    if not isinstance(document, list) or not all(isinstance(tags, dict) and _FILE_KEY in tags for tags in document):
        raise UsageError(
            f"EXIF file {exif} must contain an object of tags, or a list of objects with a {_FILE_KEY} each, as "
            "'exiftool -n -json' writes it."
        )
    by_path = {Path(str(tags[_FILE_KEY])).absolute(): tags for tags in document}
    return [by_path.get(file.absolute()) for file in files]


def _predict(predictor: "Predictor", file: Path, exif: Tags | None) -> dict[str, Any]:
    try:
        data = read_photo(file, predictor.spec.preprocessing.max_bytes)
        photograph = predictor.preprocess(data, exif=exif)
        prediction = predictor.predict(photograph).as_dict()
    except InvalidPhoto as error:
        return {"error": {"status": error.status, "reason": error.reason}}
    warnings = input_warnings(photograph, predictor.spec)
    return {**prediction, "warnings": warnings} if warnings else prediction
