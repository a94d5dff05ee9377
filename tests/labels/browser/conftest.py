"""A browser with a few generated photographs."""

import hashlib
from collections.abc import Iterator
from typing import Any

import pytest
from PIL import Image as PillowImage
from sqlalchemy import update

from lightmeter.harvest.catalogue.models import Image
from lightmeter.labels.annotations.rules import apply
from lightmeter.labels.browser.server import BrowserServer
from lightmeter.labels.targets.registry import get_target
from tests.labels.browser.helpers import PHOTOGRAPHS, create_server
from tests.support import encode_image, exif_tags


@pytest.fixture
def server(catalogue: Any) -> Iterator[BrowserServer]:
    """A running browser; the first photograph has orientation 6."""
    catalogue.fill_once(fill_catalogue)
    with create_server(catalogue.project, catalogue.engine) as server:
        yield server


def fill_catalogue(catalogue: Any) -> None:
    store = catalogue.project.store
    for index in range(PHOTOGRAPHS):
        orientation = 6 if index == 0 else 1
        image_id = catalogue.photograph(medium="digital", orientation=orientation, iso=100.0 * (index + 1))
        image = PillowImage.linear_gradient("L").resize((640, 480)).convert("RGB")
        image.paste((index * 10, 120, 255 - index * 10), (64, 48, 64 + index * 20, 400))
        data = encode_image(image, exif=exif_tags({}, orientation=orientation))
        sha256 = hashlib.sha256(data).hexdigest()
        store.put(sha256, data)
        with catalogue.engine.begin() as connection:
            connection.execute(update(Image).where(Image.id == image_id).values(sha256=sha256))
    apply(catalogue.engine, [get_target("medium")])
