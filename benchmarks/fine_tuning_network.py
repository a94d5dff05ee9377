"""Data and network of ``benchmarks.fine_tuning``: they need torch, NumPy and Pillow alone."""

import csv
import io
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

STOPS = ("aperture", "shutter", "iso")
CLASSES = {
    "focal-length": ("wide", "normal", "long"),
    "medium": ("digital", "film"),
    "shutter-extremes": ("fast", "slow"),
    "iso-extremes": ("low", "high"),
    "iso-100-800": ("low", "high"),
    "aperture-extremes": ("open", "closed"),
}
SIZES = {**dict.fromkeys(STOPS, 1), **{name: len(classes) for name, classes in CLASSES.items()}}
FEATURES = 1280  # of the last layer
_MEAN, _STD = (0.498, 0.498, 0.498), (0.502, 0.502, 0.502)


@dataclass(frozen=True)
class Data:
    """Photographs and labels; a label that is missing is NaN.

    Attributes:
        tiles: uint8, shape (N, 4, 3, 128, 128).
        view: uint8, shape (N, 3, 256, 256).
        labels: Stops, or the index of the class, for each target, shape (N,).
        photographers: Photographer of each photograph.
        names: Name of each photograph.
    """

    tiles: Tensor
    view: Tensor
    labels: dict[str, np.ndarray]
    photographers: np.ndarray
    names: list[str]


def read_data(folder: Path, limit: int | None, device: str) -> Data:
    """Read the photographs and labels of a folder."""
    with (folder / "labels.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))[:limit]
    tiles, views = [], []
    with zipfile.ZipFile(folder / "photographs.zip") as archive:
        for row in rows:
            mosaic = _pixels(archive.read(f"{row['name']}.tiles.jpg"))
            size = mosaic.shape[1] // 2
            tiles.append(mosaic.reshape(3, 2, size, 2, size).transpose(1, 3, 0, 2, 4).reshape(4, 3, size, size))
            views.append(_pixels(archive.read(f"{row['name']}.view.webp")))
    labels = {name: np.asarray([float(row[name]) if row[name] else np.nan for row in rows]) for name in STOPS}
    for name, classes in CLASSES.items():
        labels[name] = np.asarray([classes.index(row[name]) if row[name] else np.nan for row in rows], float)
    return Data(
        torch.from_numpy(np.stack(tiles)).to(device),
        torch.from_numpy(np.stack(views)).to(device),
        labels,
        np.asarray([row["photographer"] for row in rows]),
        [row["name"] for row in rows],
    )


def _pixels(data: bytes) -> np.ndarray:
    return np.ascontiguousarray(np.asarray(Image.open(io.BytesIO(data)).convert("RGB")).transpose(2, 0, 1))


class TrainedBackbone(nn.Module):
    """The backbone with statistics of every stage.

    Args:
        backbone: An EfficientNet-Lite.
    """

    def __init__(self, backbone: Any) -> None:
        super().__init__()
        self.backbone: Any = backbone
        self.blocks: nn.ModuleList = backbone._blocks  # noqa: SLF001 - the published names
        self.last_layers = nn.ModuleList([backbone._conv_head, backbone._bn1])  # noqa: SLF001
        self.first_trained = len(self.blocks)

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Return the statistics of every stage with the last layer, and the last layer, for images (N, 3, H, W)."""
        statistics = []
        with torch.no_grad():
            maps = self.backbone.stem(images)
        for index, block in enumerate(self.blocks):
            with torch.set_grad_enabled(torch.is_grad_enabled() and index >= self.first_trained):
                maps = block(maps)
                if index in self.backbone.stages:
                    statistics += [maps.float().mean((2, 3)), maps.float().std((2, 3))]
        last = self.backbone.last(maps).float().mean((2, 3))
        return torch.cat([*statistics, last], 1), last


class Network(nn.Module):
    """Two backbones, one for native tiles and one for the view, and linear heads for every target.

    Args:
        backbones: The backbones of tiles and view.
        depths: Whether the heads see every stage instead of the last layer.
    """

    centre: Tensor
    scale: Tensor

    def __init__(self, backbones: Sequence[nn.Module], depths: bool) -> None:
        super().__init__()
        self.backbones = nn.ModuleList(map(TrainedBackbone, backbones))
        self.depths = depths
        self.head: nn.Module = nn.Identity()
        self.register_buffer("centre", torch.zeros(()))
        self.register_buffer("scale", torch.ones(()))

    def features(self, tiles: Tensor, view: Tensor) -> Tensor:
        """Return the standardised features of photographs."""
        count = tiles.shape[1]
        every, last = self.backbones[0](_normalised(tiles.flatten(0, 1)))
        of_tiles = (every if self.depths else last).unflatten(0, (-1, count)).mean(1)
        every, last = self.backbones[1](_normalised(view))
        return (torch.cat([of_tiles, every if self.depths else last], 1) - self.centre) / self.scale

    def forward(self, tiles: Tensor, view: Tensor) -> Tensor:
        """Return the outputs of all targets side by side."""
        outputs: Tensor = self.head(self.features(tiles, view))
        return outputs

    def train_from(self, share: float) -> list[nn.Parameter]:
        """Train the blocks from this share of the depth on and the last layer; return their parameters."""
        parameters: list[nn.Parameter] = []
        for parameter in self.backbones.parameters():
            parameter.requires_grad = False
        for backbone in self.backbones:
            assert isinstance(backbone, TrainedBackbone)
            backbone.first_trained = round(len(backbone.blocks) * share)
            trained = [*backbone.blocks[backbone.first_trained :], *backbone.last_layers]
            parameters += [parameter for module in trained for parameter in module.parameters()]
        for parameter in parameters:
            parameter.requires_grad = True
        return parameters


def _normalised(images: Tensor) -> Tensor:
    mean, std = (torch.tensor(values, device=images.device).view(3, 1, 1) for values in (_MEAN, _STD))
    return (images.float() / 255 - mean) / std


def build_network(folder: Path, device: str, depths: bool) -> Network:
    """Return a network with pretrained backbones and without heads."""
    near = Path(__file__).with_name("efficientnet_lite.py")  # beside a copy of this script without the project
    file = near if near.exists() else Path("lightmeter/models/architectures/efficientnet_lite.py")
    spec = spec_from_file_location("efficientnet_lite", file)
    assert spec
    assert spec.loader
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    state = torch.load(folder / "backbone.pt", map_location="cpu", weights_only=True)
    backbones = []
    for _ in range(2):
        backbone = module.EfficientNetLite("efficientnet-lite2")
        backbone.load_state_dict({name: tensor.float() for name, tensor in state.items()}, strict=False)
        backbones.append(backbone)
    return Network(backbones, depths).to(device).eval()  # batch normalisation keeps the statistics of ImageNet
