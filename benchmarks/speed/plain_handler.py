"""A handler as TorchServe's documentation shows it ("Custom handlers"), with Pillow in ``preprocess``.

It runs inside the archive that `serving_systems` writes; ``corners.json`` in the same archive contains the
positions of the patches.
"""

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from ts.torch_handler.base_handler import BaseHandler


class Plain(BaseHandler):
    """Minimal handler that extracts the same patches as Lightmeter's preprocessing."""

    def initialize(self, context: Any) -> None:
        super().initialize(context)
        folder = Path(context.system_properties["model_dir"])
        patches = json.loads((folder / "corners.json").read_text())
        self.size, self.corners = patches["size"], patches["corners"]

    def preprocess(self, data: Any) -> torch.Tensor:
        photographs = []
        for row in data:
            image = Image.open(io.BytesIO(row.get("data") or row.get("body"))).convert("RGB")
            patches = [np.asarray(image.crop(box)).transpose(2, 0, 1) for box in self.boxes(*image.size)]
            photographs.append((np.stack(patches).astype(np.float32) - 127.0) / 128.0)
        return torch.from_numpy(np.stack(photographs))

    def boxes(self, width: int, height: int) -> list[tuple[int, int, int, int]]:
        limits = (width - self.size + 1, height - self.size + 1)
        corners = [(int(x * limits[0]), int(y * limits[1])) for x, y in self.corners]
        return [(left, top, left + self.size, top + self.size) for left, top in corners]

    def postprocess(self, data: torch.Tensor) -> list[dict[str, Any]]:
        return [{"probabilities": torch.softmax(row, 0).tolist()} for row in data]
