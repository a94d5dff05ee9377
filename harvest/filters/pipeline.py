"""One decode for all filters."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from importlib.util import find_spec
from typing import Any

import cv2
from PIL import Image

from lightmeter import plugins
from lightmeter.errors import UsageError
from lightmeter.harvest.exif import ExifRecord, Privacy, read_image
from lightmeter.harvest.filters.base import DecodeLimits, Filter, FilterResult
from lightmeter.harvest.filters.decode import (
    UnreadableImage,
    claimed_pixels,
    decode,
    open_image,
    quantisation_hash,
    reason,
)
from lightmeter.harvest.filters.image import DecodedImage
from lightmeter.harvest.filters.registry import load_filters
from lightmeter.settings import Settings
from lightmeter.time_limit import TimeLimitExceeded, time_limit


@dataclass(frozen=True)
class InspectionPlan:
    """What is done to each photograph; it travels to the worker processes."""

    filters: tuple[Filter[Any], ...] = ()
    limits: DecodeLimits = field(default_factory=DecodeLimits)
    privacy: Privacy = field(default_factory=Privacy)

    @classmethod
    def of(cls, settings: Settings, names: Iterable[str] | None = None) -> "InspectionPlan":
        """Return a project's plan.

        Args:
            settings: the project's.
            names: of filters; None for all that are installed.

        Raises:
            UsageError: if a filter is unknown, its settings are wrong, or MakerNotes are asked for without exifread.
        """
        if settings.inspect.maker_notes_s and not find_spec("exifread"):
            raise UsageError("MakerNotes (maker_notes_s under [inspect]) need: pip install 'lightmeter[makernotes]'.")
        limits = DecodeLimits.of(settings.inspect, settings.crawl.max_bytes)
        return cls(tuple(load_filters(settings.filters, names)), limits, Privacy.of(settings.privacy))

    @classmethod
    def while_fetching(cls, settings: Settings) -> "InspectionPlan":
        """Return the plan for photographs as they come: all filters but those that the settings put off.

        Raises:
            UsageError: if a filter is unknown, or its settings are wrong.
        """
        later = {plugins.get("filters", name).name for name in settings.inspect.deferred}
        return cls.of(settings, plugins.installed("filters").keys() - later)


@dataclass(frozen=True)
class InspectionResult:
    """All that was learned from a photograph's bytes.

    Attributes:
        format: as Pillow names it; empty if the bytes are no image.
        width: stored pixels; 0 if unknown.
        height: likewise.
        problem: why it could not be looked at whole: ``empty``, ``not an image``, ``truncated``, ``too many pixels``,
            ``too many bytes``, ``timeout`` or ``undecodable: …``; None if all is well.
        quantisation: short hash of the JPEG quantisation tables.
        results: findings by filter; none if there is a problem.
    """

    format: str = ""
    width: int = 0
    height: int = 0
    problem: str | None = None
    quantisation: str | None = None
    results: dict[str, FilterResult] = field(default_factory=dict)
    exif: ExifRecord = field(default_factory=ExifRecord)


def inspect(data: bytes, plan: InspectionPlan) -> InspectionResult:
    """Look at a photograph. Whatever the bytes are, an answer comes back, within the plan's limits."""
    cv2.setNumThreads(1)  # photographs are spread over processes
    seen: dict[str, Any] = {}
    try:
        with time_limit(plan.limits.timeout_s):
            _look(data, plan, seen)
    except TimeLimitExceeded:
        seen["problem"] = "timeout"
    except UnreadableImage as problem:
        seen["problem"] = str(problem)
    if "problem" in seen:
        seen.pop("results", None)
    return InspectionResult(**seen)


def _look(data: bytes, plan: InspectionPlan, seen: dict[str, Any]) -> None:
    """Fill in what is learned, step by step, so that what came before a problem is kept."""
    if len(data) > plan.limits.max_bytes:
        raise UnreadableImage("too many bytes")
    if claimed_pixels(data) > plan.limits.max_pixels:
        seen["format"] = "WEBP"
        raise UnreadableImage("too many pixels")
    with open_image(data) as image:
        seen |= {"format": image.format or "", "width": image.width, "height": image.height}
        seen["quantisation"] = quantisation_hash(image)
        seen["exif"] = read_image(image, keep=plan.privacy, maker_notes_s=plan.limits.maker_notes_s)
        if image.width * image.height > plan.limits.max_pixels:
            raise UnreadableImage("too many pixels")
        decode(image)
        seen |= {"width": image.width, "height": image.height}
        seen["results"] = _findings(image, seen["exif"].values.orientation or 1, plan.filters)


def _findings(image: Image.Image, orientation: int, filters: tuple[Filter[Any], ...]) -> dict[str, FilterResult]:
    try:
        picture = DecodedImage(image, orientation)
        return {one.name: one.find(picture) for one in filters}
    except MemoryError as error:
        raise UnreadableImage(reason(error)) from error
