"""A handler as TorchServe's documentation shows it ("Custom handlers"), with Pillow in ``preprocess``.

It runs inside the archive that `benchmarks.contenders` makes; ``corners.json`` beside it says where patches are cut.
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
    """Cuts the patches that our preprocessing cuts, and is otherwise as plain as can be."""

    def initialize(self, context: Any) -> None:
        super().initialize(context)
        folder = Path(context.system_properties["model_dir"])
        cut = json.loads((folder / "corners.json").read_text())
        self.size, self.corners = cut["size"], cut["corners"]

    def preprocess(self, data: Any) -> torch.Tensor:
        photographs = []
        for row in data:
            image = Image.open(io.BytesIO(row.get("data") or row.get("body"))).convert("RGB")
            patches = [np.asarray(image.crop(box)).transpose(2, 0, 1) for box in self.boxes(*image.size)]
            photographs.append((np.stack(patches).astype(np.float32) - 127.0) / 128.0)
        return torch.from_numpy(np.stack(photographs))

    def boxes(self, width: int, height: int) -> list[tuple[int, int, int, int]]:
        free = (width - self.size + 1, height - self.size + 1)
        corners = [(int(across * free[0]), int(down * free[1])) for across, down in self.corners]
        return [(left, top, left + self.size, top + self.size) for left, top in corners]

    def postprocess(self, data: torch.Tensor) -> list[dict[str, Any]]:
        return [{"probabilities": torch.softmax(row, 0).tolist()} for row in data]
