"""Opening data sets, and using them from pandas and PyTorch."""

import doctest
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import torch
from PIL import Image

from lightmeter.errors import UsageError
from lightmeter.labels import open_dataset
from lightmeter.labels.datasets import dataset as dataset_module
from lightmeter.labels.datasets.dataset import Dataset, read_dataset, write_dataset
from lightmeter.labels.datasets.manifest import SPLITS
from lightmeter.labels.datasets.spec import DatasetSpec, TargetSpec
from lightmeter.labels.datasets.torch_dataset import IGNORE_INDEX
from tests.labels.datasets.helpers import apply_rules, create_dataset, store_image
from tests.support import exif_tags

CONCEPTS = TargetSpec("concept", "1", ("night", "street"), multilabel=True)


@pytest.fixture
def dataset(catalogue: Any) -> Dataset:
    """Twelve photographs of six owners, 8 × 4 pixels, the left half red, to be shown rotated by 90 degrees."""
    catalogue.fill_once(fill_catalogue)
    return read_dataset(Path("datasets/iso-demo"))


def fill_catalogue(catalogue: Any) -> None:
    pixels = np.zeros((4, 8, 3), dtype=np.uint8)
    pixels[:, :4, 0] = 255
    for index in range(12):
        pixels[..., 2] = 20 * index
        values = {"owner": str(index // 2), "iso": (100.0, 800.0)[index % 2], "medium": "digital"}
        store_image(catalogue, Image.fromarray(pixels), exif=exif_tags({}, orientation=6), **values)
    apply_rules(catalogue, "iso")
    create_dataset(name="iso-demo", target="iso")


def test_examples_in_docstrings_run(dataset: Dataset) -> None:
    result = doctest.testmod(dataset_module)
    assert result.attempted > 0
    assert result.failed == 0


def test_dataset_opens_by_name_and_by_folder(dataset: Dataset, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert open_dataset("iso-demo").spec == open_dataset(dataset.folder).spec == dataset.spec
    folder = dataset.folder.resolve()
    monkeypatch.chdir(tmp_path)
    assert open_dataset(folder).spec == dataset.spec
    with pytest.raises(UsageError, match="is not a data set"):
        open_dataset("iso-demo")


def test_pandas_data_frame_has_the_rows_of_a_split(dataset: Dataset) -> None:
    frame = dataset.to_pandas("train")
    assert frame["sha256"].tolist() == [row["sha256"] for row in dataset.rows("train")]
    assert len(dataset.to_pandas()) == 12


def test_torch_items_are_upright_images_and_class_indices(dataset: Dataset) -> None:
    train = dataset.torch_dataset("train")
    assert len(train) == dataset.spec.counts["train"]
    for (image, label), row in zip(train, dataset.rows("train"), strict=False):
        assert image.size == (4, 8)
        red = np.asarray(image)[..., 0] > 128
        assert red[:4].all()  # the left half of the file is the upper half of the photograph
        assert not red[4:].any()
        assert train.targets[0].classes[label] == row["label_iso"]


def test_torch_dataset_works_with_data_loaders(dataset: Dataset) -> None:
    def to_tensor(image: Image.Image) -> torch.Tensor:
        return torch.from_numpy(np.array(image)).permute(2, 0, 1)

    loader = torch.utils.data.DataLoader(dataset.torch_dataset("train", transform=to_tensor), batch_size=4)
    images, labels = next(iter(loader))
    assert images.shape == (4, 3, 8, 4)
    assert labels.dtype == torch.int64
    assert pickle.loads(pickle.dumps(dataset.torch_dataset("train")))[0]


def test_labels_of_two_targets_are_a_dictionary(dataset: Dataset) -> None:
    concepts = [[None, None, ["street"], ["night", "street"]][index % 4] for index in range(12)]
    isos = [None if index in (2, 3) else label for index, label in enumerate(dataset.manifest["label_iso"].to_pylist())]
    manifest = dataset.manifest.drop_columns(["label_iso"])
    manifest = manifest.append_column("label_iso", pa.array(isos)).append_column("label_concept", pa.array(concepts))
    spec = DatasetSpec("two", "", f"file:{dataset.store.root}", (*dataset.spec.targets, CONCEPTS))
    write_dataset(dataset.folder.parent / "two", spec, manifest)
    both = read_dataset(dataset.folder.parent / "two")

    for split in SPLITS:
        data = both.torch_dataset(split)
        rows = [row for row in both.rows(split) if row["label_iso"] or row["label_concept"]]
        assert len(data) == len(rows)
        for index, row in enumerate(rows):
            _, labels = data[index]
            assert (labels["iso"] == IGNORE_INDEX) is (row["label_iso"] is None)
            if row["label_concept"] is None:
                assert torch.isnan(labels["concept"]).all()
            else:
                assert labels["concept"].tolist() == [float(name in row["label_concept"]) for name in CONCEPTS.classes]
    n_concepts = sum(row["label_concept"] is not None for row in both.rows("train"))
    assert len(both.torch_dataset("train", target="concept")) == n_concepts
    with pytest.raises(UsageError, match="Unknown target of two 'aperture'"):
        both.torch_dataset("train", target="aperture")
