"""The HTML page of ``lightmeter read``: photographs with their estimates and the patches that counted."""

import base64
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape
from PIL import Image, ImageDraw

from lightmeter.files import write_atomic
from lightmeter.images.geometry import Box, Size, to_display
from lightmeter.images.reader import display_image, open_image, pixel_orientation
from lightmeter.models.runtime.predictor import Predictor
from lightmeter.models.runtime.preprocess import InvalidPhoto
from lightmeter.serve.handler.explanation import explain

_SIDE = 900  # pixels of the photographs on the page
_PATCHES = 3  # shown for each setting
_COLOURS = ("#e6550d", "#3182bd", "#31a354", "#9e5fd0", "#d4a300", "#d6336c", "#0b9aa8")


def write_page(file: Path, predictor: Predictor, entries: Sequence[Mapping[str, Any]]) -> None:
    """Write one self-contained page.

    Args:
        file: Page to write.
        predictor: Predictor that made the estimates.
        entries: Documents of `estimates.read_photographs`.
    """
    environment = Environment(
        loader=PackageLoader("lightmeter.read", ""), autoescape=select_autoescape(["jinja"]), undefined=StrictUndefined
    )
    photographs = [{**entry, **_pictures(predictor, entry)} for entry in entries]
    page = environment.get_template("page.html.jinja").render(model=predictor.spec, photographs=photographs)
    write_atomic(file, page)


def _pictures(predictor: Predictor, entry: Mapping[str, Any]) -> dict[str, Any]:
    """Return the photograph as a data URL with boxes around its patches, and the patches of each setting."""
    if "error" in entry:
        return {}
    data = Path(entry["file"]).read_bytes()
    picture = display_image(data, _SIDE)
    try:
        counted = _patches_that_counted(predictor, data, entry)
    except InvalidPhoto:  # a model without patches
        counted = {}
    with open_image(data) as header:
        file_size, orientation = Size(*header.size), pixel_orientation(header)
    full = display_image(data)
    draw, scale = ImageDraw.Draw(picture), picture.width / full.width
    colours = dict(zip(entry["settings"], _COLOURS, strict=False))
    patches: dict[str, list[dict[str, Any]]] = {}
    for target, selected in counted.items():
        for contribution, stored in selected:
            box = to_display(stored, file_size, orientation)
            edges = (box.x, box.y, box.x + box.width, box.y + box.height)
            draw.rectangle([edge * scale for edge in edges], outline=colours.get(target, "white"), width=3)
            patches.setdefault(target, []).append({"image": _data_url(full.crop(edges)), "contribution": contribution})
    return {"picture": _data_url(picture), "patches": patches, "colours": colours}


def _patches_that_counted(
    predictor: Predictor, data: bytes, entry: Mapping[str, Any]
) -> dict[str, list[tuple[float, Box]]]:
    """Return the patches of each target without which the predicted class would lose most probability."""
    classes = {name: prediction["class"] for name, prediction in entry["predictions"].items()}
    patches = explain(predictor, predictor.preprocess(data), classes)["patches"]
    counted = {}
    for name in classes:
        ranked = sorted(patches, key=lambda patch: -patch["contribution"][name])[:_PATCHES]
        counted[name] = [(patch["contribution"][name], Box(**patch["box"])) for patch in ranked]
    return {name: [item for item in items if item[0] > 0] for name, items in counted.items()}


def _data_url(image: Image.Image) -> str:
    content = io.BytesIO()
    image.convert("RGB").save(content, "JPEG", quality=88)
    return "data:image/jpeg;base64," + base64.b64encode(content.getvalue()).decode()
