"""The HTML page of ``lightmeter read``: photographs with their estimates and the patches that counted."""

import base64
import colorsys
import io
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from PIL import Image, ImageDraw

from lightmeter.files import write_output
from lightmeter.images.geometry import Box, Size, to_display
from lightmeter.images.reader import display_image, open_image, pixel_orientation
from lightmeter.models.runtime.predictor import Predictor
from lightmeter.models.runtime.preprocess import InvalidPhoto
from lightmeter.serve.handler.explanation import explain
from lightmeter.style import document_environment

_SIDE = 900  # pixels of the photographs on the page
_PATCHES = 3  # shown for each setting
_COLOURS = ("#d55e00", "#0072b2", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#f0e442")  # Okabe and Ito, 2008
_GOLDEN_RATIO = 0.618034
_LINE = 4  # pixels from the box of a setting to that of the next around the same patch


def write_page(file: Path, predictor: Predictor, entries: Sequence[Mapping[str, Any]]) -> None:
    """Write one self-contained page.

    Args:
        file: Page to write.
        predictor: Predictor that made the estimates.
        entries: Documents of `estimates.read_photographs`.
    """
    environment = document_environment("lightmeter.read", "")
    photographs = [{**entry, **_pictures(predictor, entry)} for entry in entries]
    page = environment.get_template("page.html.jinja").render(model=predictor.spec, photographs=photographs)
    write_output(file, page)


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
    colours = {name: _colour(index) for index, name in enumerate(entry["settings"])}
    patches: dict[str, list[dict[str, Any]]] = {}
    drawn: Counter[Box] = Counter()  # boxes around the same patch lie inside each other
    for target, selected in counted.items():
        for contribution, stored in selected:
            box = to_display(stored, file_size, orientation)
            edges = (box.x, box.y, box.x + box.width, box.y + box.height)
            inset = _LINE * drawn[stored]
            drawn[stored] += 1
            corners = [edge * scale + sign * inset for edge, sign in zip(edges, (1, 1, -1, -1), strict=True)]
            if corners[2] > corners[0] and corners[3] > corners[1]:
                draw.rectangle(corners, outline=colours.get(target, "white"), width=_LINE - 1)
            patches.setdefault(target, []).append({"image": _data_url(full.crop(edges)), "contribution": contribution})
    return {"picture": _data_url(picture), "patches": patches, "colours": colours}


def _colour(index: int) -> str:
    """Return a colour that no other index has; the first seven are told apart with colour blindness too."""
    if index < len(_COLOURS):
        return _COLOURS[index]
    red, green, blue = colorsys.hls_to_rgb(index * _GOLDEN_RATIO % 1, 0.35 + 0.1 * (index % 3), 0.7)
    return "#" + "".join(f"{round(255 * part):02x}" for part in (red, green, blue))


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
