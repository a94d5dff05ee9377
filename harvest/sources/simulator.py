"""Photographs that Lightmeter's own simulated cameras take of scenes that they draw."""

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, ClassVar, Literal
from urllib.parse import parse_qs, urlencode, urlsplit

from pydantic import Field, field_validator

from lightmeter.harvest.sources.base import Checkpoint, Option, PhotoItem, Source, SourceQuery

if TYPE_CHECKING:
    from lightmeter.harvest.simulator.photographers import Shot

_LEAST, _MOST = 64, 4096
_CHECKPOINT_EVERY = 256


class Simulator(Source):
    """Takes photographs in worker processes; a photograph's URL says everything that it is made from."""

    name = "simulator"
    summary = "simulated photographs of drawn scenes, for demonstration, tests and calibration"
    scheme: ClassVar[str | None] = "simulator"

    class Query(SourceQuery):
        """How many photographs, by whom, of what kind."""

        count: int = Field(100, ge=1, description="Photographs to take.")
        seed: int = Field(0, ge=0, description="Other seed, other scenes and photographers.")
        photographers: int = Field(24, ge=1, description="How many photographers take turns.")
        film_share: float = Field(0.0, ge=0, le=1, description="Share of photographs on film, 0 to 1.")
        series: Literal["aperture", "iso", "shutter"] | None = Option(
            None, "Take each scene along one setting, the rest fixed."
        )
        size: str = Option("640x480", "Width and height in pixels.")

        @field_validator("size")
        @classmethod
        def _is_size(cls, size: str) -> str:
            if not re.fullmatch(r"\d+x\d+", size) or not all(_LEAST <= int(n) <= _MOST for n in size.split("x")):
                raise ValueError(f"a size is written like 640x480, each side {_LEAST} to {_MOST}")
            return size

    def total(self, query: Any) -> int | None:
        """Return how many photographs will be taken."""
        return int(query.count)

    def discover(self, query: Any, cursor: dict[str, Any] | None) -> Iterator[PhotoItem | Checkpoint]:
        """Yield photographs by number; none is taken before it is fetched."""
        for index in range(cursor["index"] if cursor else 0, query.count):
            yield self._sighting(query, index)
            if (index + 1) % _CHECKPOINT_EVERY == 0:
                yield Checkpoint({"index": index + 1})

    @classmethod
    def read(cls, media_url: str) -> bytes:
        """Take the photograph that a URL describes."""
        words = {name: values[0] for name, values in parse_qs(urlsplit(media_url).query).items()}
        width, height = words["size"].split("x")
        return _shot(words).take((int(width), int(height)))

    def _sighting(self, query: Any, index: int) -> PhotoItem:
        words = query.model_dump(exclude={"count"}, exclude_none=True) | {"index": index}
        address = urlencode(words)
        shot = _shot({name: str(value) for name, value in words.items()})
        medium: Literal["film", "digital"] = "digital" if hasattr(shot.camera, "sensor") else "film"
        return PhotoItem(
            source_id=address,
            media_url=f"{self.scheme}://photograph?{address}",
            file=f"simulated-{query.seed}-{index:06d}.jpg",
            owner=shot.photographer.name,
            licence="CC0-1.0",
            attribution=f"{shot.photographer.name}, Lightmeter simulator (CC0 1.0)",
            title=f"{shot.title} (simulated)",
            tags=("simulated", shot.title.lower()),
            medium=medium,
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


def _shot(words: dict[str, str]) -> "Shot":
    """Return the photograph that the words of a URL describe."""
    from lightmeter.harvest.simulator.photographers import shot
    from lightmeter.harvest.simulator.series import series_shot

    seed, index, photographers = int(words["seed"]), int(words["index"]), int(words["photographers"])
    match words.get("series"):
        case "aperture" | "iso" | "shutter" as setting:
            return series_shot(setting, seed, index, photographers)
        case _:
            return shot(seed, index, photographers, float(words["film_share"]))
