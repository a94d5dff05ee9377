"""Simulated photographs of synthetic scenes, taken by Lightmeter's own camera simulator."""

import re
from collections.abc import Iterator
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar, Literal
from urllib.parse import parse_qsl, urlencode, urlsplit

from pydantic import field_validator

from lightmeter.harvest.sources.base import Cursor, Item, Option, Sighting, Source, SourceQuery
from lightmeter.harvest.sources.photo_metadata import items_with_checkpoints

if TYPE_CHECKING:
    from lightmeter.harvest.simulator.photographers import Shot

_MIN_SIDE, _MAX_SIDE = 64, 4096


class Simulator(Source):
    """Lists URLs that contain all parameters of a photograph; worker processes render them."""

    name = "simulator"
    summary = "simulated photographs of synthetic scenes, for demonstration, tests and calibration"
    scheme: ClassVar[str | None] = "simulator"

    class Query(SourceQuery):
        """Harvest simulated photographs."""

        count: int = Option(100, "Number of photographs.", ge=1)
        seed: int = Option(0, "Random seed.", ge=0)
        photographers: int = Option(24, "Number of simulated photographers.", ge=1)
        film_share: float = Option(0.0, "Share of photographs on film, 0 to 1.", ge=0, le=1)
        series: Literal["aperture", "iso", "shutter"] | None = Option(
            None, "Vary one setting per scene, keep the rest fixed."
        )
        size: str = Option("640x480", "Width and height in pixels.")

        @field_validator("size")
        @classmethod
        def _valid_size(cls, size: str) -> str:
            if not re.fullmatch(r"\d+x\d+", size) or not all(_MIN_SIDE <= n <= _MAX_SIDE for n in _width_height(size)):
                raise ValueError(f"write a size like 640x480, with sides from {_MIN_SIDE} to {_MAX_SIDE}")
            return size

    def total(self, query: Any) -> int | None:
        """Return the number of photographs."""
        return int(query.count)

    def discover(self, query: Any, cursor: Cursor | None) -> Iterator[Item]:
        """Yield the photographs by number; nothing is rendered yet."""
        return items_with_checkpoints(range(query.count), partial(_item, query), cursor, location=self.name, every=256)

    @classmethod
    def read(cls, media_url: str) -> bytes:
        """Render the photograph that a URL describes."""
        parameters = dict(parse_qsl(urlsplit(media_url).query))
        return _shot(parameters).take(_width_height(parameters["size"]))


def _item(query: Any, index: int) -> Sighting:
    parameters = query.model_dump(exclude={"count"}, exclude_none=True) | {"index": index}
    shot = _shot({name: str(value) for name, value in parameters.items()})
    return Sighting(
        source_id=urlencode(parameters),
        media_url=f"{Simulator.scheme}://photograph?{urlencode(parameters)}",
        file=f"simulated-{query.seed}-{index:06d}.jpg",
        owner=shot.photographer.name,
        licence="CC0-1.0",
        attribution=f"{shot.photographer.name}, Lightmeter simulator (CC0 1.0)",
        title=f"{shot.title} (simulated)",
        tags=("simulated", shot.title.lower()),
        medium="digital" if hasattr(shot.camera, "sensor") else "film",
        metadata={
            "simulated": True,
            "scene": shot.scene_seed,
            "luminance_cd_m2": round(shot.luminance, 3),
            "f_number": shot.settings.f_number,
            "exposure_time_s": shot.settings.exposure_time_s,
            "iso": shot.settings.iso,
            "focal_length_mm": shot.settings.focal_length_mm,
        },
    )


def _width_height(size: str) -> tuple[int, int]:
    width, height = size.split("x")
    return int(width), int(height)


def _shot(parameters: dict[str, str]) -> "Shot":
    """Return the shot that the parameters of a URL describe."""
    from lightmeter.harvest.simulator.photographers import series_shot, shot

    seed, index, photographers = (int(parameters[name]) for name in ("seed", "index", "photographers"))
    match parameters.get("series"):
        case "aperture" | "iso" | "shutter" as setting:
            return series_shot(setting, seed, index, photographers)
        case _:
            return shot(seed, index, photographers, float(parameters["film_share"]))
