"""Split files of FlickrExif: for each attribute the Flickr ids and labels of training, validation and test."""

from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from lightmeter.errors import UsageError
from lightmeter.plugins import unknown_name_message
from lightmeter.text.documents import read_json

Split = Literal["train", "validation", "test"]

ATTRIBUTES = {
    "aperture": "Aperture",
    "exposure": "Exposure",
    "flash": "Flash",
    "focal-length": "Focal Length",
    "iso-speed": "ISO Speed",
    "is-smartphone": "Is Smartphone",
    "make": "Make",
    "model": "Model",
    "smartphone-model": "Smartphone Model",
    "year": "Year",
}
"""Attributes, and their names in the split files."""

_SPLITS: dict[str, Split] = {"train": "train", "val": "validation", "test": "test"}


@dataclass(frozen=True, slots=True)
class Assignment:
    """The split and the label of a photograph for one attribute."""

    attribute: str
    split: Split
    label: str


Assignments = dict[str, list[Assignment]]
"""Assignments by Flickr id; the file of camera models contains some photographs in two splits."""


def read_splits(folder: Path, attributes: Iterable[str]) -> Assignments:
    """Return the assignments of the photographs in the split files of some attributes.

    Args:
        folder: The folder ``data/splits/FlickrExif`` of the authors' repository.
        attributes: Names of `ATTRIBUTES`; none for every attribute whose file exists.

    Raises:
        UsageError: An attribute is unknown, or a file is missing or has another form.
    """
    assignments: Assignments = defaultdict(list)
    for attribute in dict.fromkeys(attributes) or _existing_attributes(folder):
        for photo_id, assignment in _read_file(_split_file(folder, attribute), attribute):
            assignments[photo_id].append(assignment)
    return dict(assignments)


def consistent_split(assignments: Iterable[Assignment]) -> Split | None:
    """Return the split of a photograph; None if it is in several, as in training for one attribute and in test."""
    splits = {assignment.split for assignment in assignments}
    return splits.pop() if len(splits) == 1 else None


def trains_and_tests(assignments: list[Assignment]) -> bool:
    """Return whether a photograph is in training for one attribute and in test for another."""
    train, test = ({value.attribute for value in assignments if value.split == split} for split in ("train", "test"))
    return any(trained != tested for trained in train for tested in test)


def check_attributes(names: Iterable[str]) -> None:
    """Check names of attributes.

    Raises:
        UsageError: FlickrExif has no such attribute.
    """
    for name in names:
        if name not in ATTRIBUTES:
            raise UsageError(unknown_name_message("attribute", name, ATTRIBUTES))


def _split_file(folder: Path, attribute: str) -> Path:
    check_attributes([attribute])
    return folder / f"split_data_target_attribute={ATTRIBUTES[attribute]}.json"


def _existing_attributes(folder: Path) -> list[str]:
    existing = [name for name in ATTRIBUTES if _split_file(folder, name).is_file()]
    if not existing:
        raise UsageError(
            f"{folder} has no file such as {_split_file(folder, 'aperture').name}; "
            "use the folder data/splits/FlickrExif of the repository ryan-caesar-ramos/visual-encoder-traces."
        )
    return existing


def _read_file(file: Path, attribute: str) -> Iterator[tuple[str, Assignment]]:
    """Yield the ids and assignments of a split file."""
    content = read_json(file)
    try:
        classes = [str(name) for name in content["label_encoder_classes"]]
        for key, split in _SPLITS.items():
            ids, codes = content.get(f"{key}_ids", []), content.get(f"encoded_{key}_labels", [])
            for photo_id, code in zip(ids, codes, strict=True):
                yield str(_number(photo_id)), Assignment(attribute, split, classes[_number(code)])
    except (AttributeError, IndexError, KeyError, TypeError, ValueError) as error:
        raise UsageError(
            f"{file} is no split file of FlickrExif: it must have label_encoder_classes and, for train, val and test, "
            "equally long lists such as train_ids and encoded_train_labels."
        ) from error


def _number(value: Any) -> int:
    """Return an id or a class number.

    Raises:
        ValueError: The value is no whole number from 0 on.
    """
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise ValueError(f"{value!r} is no number")
    return value
