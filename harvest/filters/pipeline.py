"""Inspection: one decode feeds EXIF and all filters."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from importlib.util import find_spec
from typing import Any

import cv2
from pydantic import ValidationError

from lightmeter import plugins
from lightmeter.errors import LightmeterError, UsageError
from lightmeter.harvest.exif.reader import ExifRecord, read_exif
from lightmeter.harvest.filters.base import Filter, FilterResult
from lightmeter.harvest.filters.decode import (
    UnreadableImage,
    claimed_webp_pixels,
    decode,
    failure_reason,
    open_image,
    quantisation_hash,
)
from lightmeter.harvest.filters.image import DecodedImage
from lightmeter.harvest.time_limit import TimeLimitExceeded, time_limit
from lightmeter.images.formats import file_format
from lightmeter.images.reader import decoding_bytes, pixel_orientation
from lightmeter.settings import InspectSection, Settings, first_error
from lightmeter.store.base import PhotoStore
from lightmeter.terminal.console import get_console


@dataclass(frozen=True)
class InspectionPlan:
    """How photographs are inspected; it is sent to the worker processes.

    Attributes:
        filters: Filters with their settings.
        limits: Limits of pixels and time for one photograph.
        keep_all_tags: Whether EXIF tags that are not technical are stored.
        max_bytes: Maximum file size.
    """

    filters: tuple[Filter[Any], ...] = ()
    limits: InspectSection = field(default_factory=InspectSection)
    keep_all_tags: bool = False
    max_bytes: int = 200_000_000

    @classmethod
    def from_settings(cls, settings: Settings, names: Iterable[str] | None = None) -> "InspectionPlan":
        """Return the plan of a project.

        Args:
            settings: Settings of the project.
            names: Names of filters (default: all installed filters that are not disabled).

        Raises:
            UsageError: A filter is unknown, its settings are invalid, or MakerNotes are enabled without exifread.
            LightmeterError: A filter named in ``names`` cannot be imported.
        """
        if settings.inspect.maker_notes_s and not find_spec("exifread"):
            raise UsageError(
                "Reading MakerNotes (maker_notes_s under [inspect]) requires exifread: "
                "pip install 'lightmeter[makernotes]'."
            )
        filters = load_enabled_filters(settings) if names is None else load_filters(settings.filters, names)
        return cls(tuple(filters), settings.inspect, settings.exif.keep_all, settings.crawl.max_bytes)

    @classmethod
    def for_download(cls, settings: Settings) -> "InspectionPlan":
        """Return the plan for photographs being downloaded: all enabled filters except those that run later.

        Raises:
            UsageError: A filter is unknown, or its settings are invalid.
        """
        plan = cls.from_settings(settings)
        later = {plugins.get("filters", name).name for name in settings.inspect.later}
        return replace(plan, filters=tuple(item for item in plan.filters if item.name not in later))


@dataclass(frozen=True)
class InspectionResult:
    """Result of inspecting the bytes of a photograph.

    Attributes:
        format: Format as named by Pillow, or ``RAW``; empty if the bytes are not an image.
        width: Width in file orientation; 0 if unknown.
        height: Height in file orientation; 0 if unknown.
        problem: Why the photograph could not be inspected: ``empty``, ``not an image``, ``truncated``,
            ``too many pixels``, ``too much memory``, ``too many bytes``, ``inspection took longer than 30 s``,
            ``raw format``, ``HEIF: install lightmeter[heif]``,
            ``unsupported …`` or ``undecodable: …``; None if there is no problem.
        quantisation: Hash of the JPEG quantisation tables.
        results: Results by filter; empty if there is a problem.
        exif: EXIF, as far as it could be read; its orientation is that of the decoded pixels.
    """

    format: str = ""
    width: int = 0
    height: int = 0
    problem: str | None = None
    quantisation: str | None = None
    results: dict[str, FilterResult] = field(default_factory=dict)
    exif: ExifRecord = field(default_factory=ExifRecord)


def load_filters(settings: Mapping[str, Mapping[str, Any]], names: Iterable[str]) -> list[Filter[Any]]:
    """Return filters in alphabetical order.

    Args:
        settings: Settings by filter name, as under ``[filters.NAME]`` in ``lightmeter.toml``.
        names: Names of filters.

    Raises:
        UsageError: A filter is unknown, or a setting is invalid.
        LightmeterError: A filter cannot be imported.
    """
    for name in settings:
        plugins.get("filters", name)
    return [_load_filter(name, settings.get(name, {})) for name in sorted(set(names))]


def load_enabled_filters(settings: Settings) -> list[Filter[Any]]:
    """Return all installed filters that are not disabled; those that cannot be imported are noted and left out.

    Raises:
        UsageError: A filter is unknown, or a setting is invalid.
    """
    disabled = {plugins.get("filters", name).name for name in settings.inspect.disabled}
    filters: list[Filter[Any]] = []
    for name in plugins.installed("filters").keys() - disabled:
        try:
            filters += load_filters(settings.filters, [name])
        except UsageError:
            raise
        except LightmeterError as error:
            get_console().note(f"The filter '{name}' is left out. {error}")
    return sorted(filters, key=lambda item: item.name)


def inspect(data: bytes, plan: InspectionPlan) -> InspectionResult:
    """Inspect a photograph. Any bytes give a result, within the limits of the plan."""
    cv2.setNumThreads(1)  # photographs are distributed over processes
    result: dict[str, Any] = {}
    try:
        with time_limit(plan.limits.timeout_s):
            _inspect(data, plan, result)
    except TimeLimitExceeded:
        result["problem"] = f"inspection took longer than {plan.limits.timeout_s:g} s"
    except UnreadableImage as error:
        result["problem"] = str(error)
    if "problem" in result:
        result.pop("results", None)
    return InspectionResult(**result)


@dataclass(frozen=True, slots=True)
class StoredPhoto:
    """A photograph to inspect.

    Attributes:
        sha256: SHA-256 of the photograph.
        store: The store that has it.
        plan: How it is inspected.
    """

    sha256: str
    store: PhotoStore
    plan: InspectionPlan


def inspect_stored(photo: StoredPhoto) -> InspectionResult:
    """Inspect a photograph of a store.

    Raises:
        StoreError: It cannot be read.
    """
    return inspect(photo.store.read(photo.sha256), photo.plan)


def _load_filter(name: str, settings: Mapping[str, Any]) -> Filter[Any]:
    plugin = plugins.get("filters", name)
    filter_class: type[Filter[Any]] = plugin.load()
    try:
        return filter_class(filter_class.Settings(**settings))
    except ValidationError as error:
        raise UsageError(f"Invalid settings of the filter '{name}': {first_error(error)}") from error
    except (AttributeError, TypeError) as error:
        raise LightmeterError(
            f"The filter '{name}' of {plugin.distribution} {plugin.version} is not a subclass of lightmeter.harvest."
            f"Filter ({error}); repair or uninstall that package."
        ) from error


def _inspect(data: bytes, plan: InspectionPlan, result: dict[str, Any]) -> None:
    """Add to the result step by step, so that everything before a problem is stored."""
    if len(data) > plan.max_bytes:
        raise UnreadableImage("too many bytes")
    if claimed_webp_pixels(data) > plan.limits.max_pixels:
        result["format"] = "WEBP"
        raise UnreadableImage("too many pixels")
    exif = read_exif(data, keep_all=plan.keep_all_tags, maker_notes_s=plan.limits.maker_notes_s)
    result |= {"format": file_format(data), "exif": exif}
    with open_image(data) as image:
        orientation = pixel_orientation(image, exif.values.orientation)
        result |= {"format": image.format or "", "width": image.width, "height": image.height}
        result["quantisation"] = quantisation_hash(image)
        if orientation != (exif.values.orientation or 1):
            result["exif"] = replace(exif, values=replace(exif.values, orientation=orientation))
        if image.width * image.height > plan.limits.max_pixels:
            raise UnreadableImage("too many pixels")
        if decoding_bytes(image) > plan.limits.max_memory_mb * 1_000_000:
            raise UnreadableImage("too much memory")
        decoded = decode(image, orientation)
        result |= {"width": decoded.width, "height": decoded.height}
        result["results"] = _apply_filters(decoded, plan.filters)


def _apply_filters(image: DecodedImage, filters: tuple[Filter[Any], ...]) -> dict[str, FilterResult]:
    try:
        return {item.name: item.apply(image) for item in filters}
    except MemoryError as error:
        raise UnreadableImage(failure_reason(error)) from error
