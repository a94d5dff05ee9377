"""The contract of a filter: it measures an image, then judges the measures."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Generic, Literal, TypeVar

from lightmeter.geometry import Box
from lightmeter.harvest.filters.image import DecodedImage
from lightmeter.settings import Section

Measures = Mapping[str, Any]
"""JSON values by name."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether to keep a photograph.

    Attributes:
        verdict: ``keep`` or ``drop``.
        reason: Why it is dropped, as a short term such as ``frame``.
    """

    verdict: Literal["keep", "drop"]
    reason: str | None = None


KEEP = Verdict("keep")


@dataclass(frozen=True, slots=True)
class Detection:
    """An object or area found in an image.

    Attributes:
        kind: Kind of region, such as ``face`` or ``inside`` (of a frame).
        box: Position in file coordinates, that is, before the EXIF orientation is applied.
        score: Confidence, 0 to 1; None if the filter gives none.
        details: Additional JSON values, such as landmarks.
    """

    kind: str
    box: Box
    score: float | None = None
    details: dict[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class Measurement:
    """What a filter measured in an image.

    Attributes:
        measures: JSON values by name; stored in the catalogue and judged later.
        detections: Regions of the image.
    """

    measures: dict[str, Any]
    detections: tuple[Detection, ...] = ()


@dataclass(frozen=True, slots=True)
class FilterResult:
    """Measurement and verdict of one filter version.

    Attributes:
        version: Version of the filter.
        verdict: ``keep`` or ``drop``, under the current settings.
        reason: Why the photograph is dropped.
        measures: See `Measurement`.
        detections: See `Measurement`.
    """

    version: int
    verdict: str
    reason: str | None = None
    measures: dict[str, Any] = field(default_factory=dict)
    detections: tuple[Detection, ...] = ()


S = TypeVar("S", bound=Section)


class Filter(Generic[S]):
    """Base class of filters. Subclasses are plugins of the entry-point group ``lightmeter.filters``.

    Args:
        settings: Thresholds (default: those of the class ``Settings``).

    Attributes:
        name: Name on the command line, in settings and in the catalogue.
        version: Increase it when the measures change; stored measures of other versions are outdated.
        summary: What the filter measures, in one line.
        Settings: Model of the settings under ``[filters.NAME]``. Only `judge` may use them, so that new thresholds
            apply without decoding an image again.
        settings: The settings in use.

    Example:
        ```python
        class SharpnessSettings(Section):
            min_sharpness: float = Field(10.0, ge=0, description="minimum variance of the Laplacian")


        class Sharpness(Filter[SharpnessSettings]):
            name, version, summary, Settings = "sharpness", 1, "sharpness", SharpnessSettings

            def measure(self, image: DecodedImage) -> Measurement:
                return Measurement({"variance": float(cv2.Laplacian(image.grey, cv2.CV_64F).var())})

            def judge(self, measures: Measures) -> Verdict:
                blurred = measures["variance"] < self.settings.min_sharpness
                return Verdict("drop", "blurred") if blurred else KEEP
        ```
    """

    name: ClassVar[str]
    version: ClassVar[int]
    summary: ClassVar[str]
    Settings: type[S]

    def __init__(self, settings: S | None = None) -> None:
        self.settings: S = settings or self.Settings()

    def measure(self, image: DecodedImage) -> Measurement:
        """Measure an image. The result must depend on the image alone, not on the settings.

        Args:
            image: The decoded image.
        """
        raise NotImplementedError

    def judge(self, measures: Measures) -> Verdict:
        """Return the verdict on measures under the current settings.

        Args:
            measures: Result of `measure`, possibly read from the catalogue.
        """
        raise NotImplementedError

    def apply(self, image: DecodedImage) -> FilterResult:
        """Measure an image and judge the measures."""
        measurement = self.measure(image)
        verdict = self.judge(measurement.measures)
        return FilterResult(self.version, verdict.verdict, verdict.reason, measurement.measures, measurement.detections)
