"""A PyTorch data set of the images and labels of one split."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch.utils.data import Dataset

from lightmeter.images.geometry import upright
from lightmeter.images.reader import open_image, pixel_orientation, to_eight_bit
from lightmeter.labels.datasets.manifest import crop_of, label_column
from lightmeter.labels.datasets.spec import TargetSpec
from lightmeter.store.base import PhotoStore

IGNORE_INDEX = -100
"""Class index of a missing label, which `torch.nn.functional.cross_entropy` ignores by default."""

Label = int | torch.Tensor


@dataclass(eq=False)
class ImageDataset(Dataset[tuple[Any, Label | dict[str, Label]]]):
    """Images with the labels of one or more targets.

    An item is ``(image, label)`` as in torchvision's `ImageFolder`, or ``(image, {target: label})`` for several
    targets. The label of a photograph is its class index, `IGNORE_INDEX` where it is missing. For a multilabel target
    it is a multi-hot float tensor of shape (n_classes,), NaN where it is missing.

    Attributes:
        store: Store of the original image files.
        rows: Manifest row of each item.
        targets: Targets of the labels; ``targets[0].classes[index]`` is the name of a class.
        transform: Applied to each image, an upright RGB `PIL.Image.Image`.
    """

    store: PhotoStore
    rows: Sequence[Mapping[str, Any]]
    targets: Sequence[TargetSpec]
    transform: Callable[[Image.Image], Any] | None = None

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int) -> tuple[Any, Label | dict[str, Label]]:
        row = self.rows[index]
        image: Any = read_image(self.store, row)
        if self.transform is not None:
            image = self.transform(image)
        labels = {target.name: encode_label(row[label_column(target.name)], target) for target in self.targets}
        return image, labels if len(labels) > 1 else labels[self.targets[0].name]


def read_image(store: PhotoStore, row: Mapping[str, Any]) -> Image.Image:
    """Return the upright RGB image of a manifest row, cropped if the row is a crop."""
    with open_image(store.read(row["sha256"])) as image:
        pixels = np.asarray(to_eight_bit(image).convert("RGB"))
        orientation = pixel_orientation(image)
    box = crop_of(row)
    if box is not None:
        pixels = pixels[box.y : box.y + box.height, box.x : box.x + box.width]
    return Image.fromarray(upright(pixels, orientation))


def encode_label(label: str | list[str] | None, target: TargetSpec) -> Label:
    """Return a class index, or a multi-hot tensor for a multilabel target."""
    if not target.multilabel:
        return IGNORE_INDEX if label is None else target.classes.index(str(label))
    if label is None:
        return torch.full((len(target.classes),), torch.nan)
    return torch.tensor([float(name in label) for name in target.classes])
