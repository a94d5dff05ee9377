"""The contract of a filter: it measures an image, then judges the measures."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Generic, Literal, TypeVar

import numpy as np

from lightmeter.harvest.filters.image import DecodedImage
from lightmeter.images.geometry import Box
from lightmeter.settings import Section

Measures = Mapping[str, Any]
"""JSON values by name."""


VERDICTS = ("keep", "drop", "failed")
_PLAIN_TYPES = frozenset({type(None), bool, int, str})


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether to keep a photograph.

    Attributes:
        verdict: ``keep`` or ``drop``; ``failed`` if the filter raised an error.
        reason: Why it is dropped, as a short term such as ``frame``; or a remark on one that is kept.

    Raises:
        ValueError: The verdict is none of these.
    """

    verdict: Literal["keep", "drop", "failed"]
    reason: str | None = None

    def __post_init__(self) -> None:
        if self.verdict not in VERDICTS:
            raise ValueError(f"the verdict is {self.verdict!r}; it must be 'keep' or 'drop'")


KEEP = Verdict("keep")


@dataclass(frozen=True)  # slots would make the messages of worker processes slow
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

    def __post_init__(self) -> None:
        object.__setattr__(self, "box", Box(*(int(edge) for edge in self.box)))
        object.__setattr__(self, "score", None if self.score is None else float(self.score))
        object.__setattr__(self, "details", None if self.details is None else _json_value(self.details))


@dataclass(frozen=True, slots=True)
class Measurement:
    """What a filter measured in an image.

    Attributes:
        measures: JSON values by name; stored in the catalogue and judged later. NumPy values are converted; numbers
            that JSON does not know (NaN, infinity) become None.
        detections: Regions of the image.

    Raises:
        TypeError: A measure is not a JSON value.
    """

    measures: dict[str, Any]
    detections: tuple[Detection, ...] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "measures", _json_value(self.measures))


@dataclass(frozen=True)  # slots would make the messages of worker processes slow
class FilterResult:
    """Measurement and verdict of one filter version.

    Attributes:
        version: Version of the filter.
        verdict: ``keep`` or ``drop``, under the current settings, or ``failed``.
        reason: Why the photograph is dropped, or the filter failed.
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
        """Measure an image and judge the measures. A filter that raises an error has failed for this image alone."""
        try:
            measurement = self.measure(image)
        except MemoryError:  # the image is too large for this machine
            raise
        except Exception as error:  # noqa: BLE001 - a filter of somebody else must not stop the others
            failed = self._failed(error)
            return FilterResult(self.version, failed.verdict, failed.reason)
        verdict = self.verdict_on(measurement.measures)
        return FilterResult(self.version, verdict.verdict, verdict.reason, measurement.measures, measurement.detections)

    def verdict_on(self, measures: Measures) -> Verdict:
        """Return the result of `judge`, or the verdict ``failed`` if it raises an error."""
        try:
            return self.judge(measures)
        except Exception as error:  # noqa: BLE001
            return self._failed(error)

    def _failed(self, error: Exception) -> Verdict:
        message = str(error).strip().partition("\n")[0]
        return Verdict("failed", f"filter {self.name} failed: {type(error).__name__}: {message}"[:300])


def _json_value(value: Any) -> Any:
    """Return a value as JSON has it."""
    if type(value) in _PLAIN_TYPES:
        return value
    if isinstance(value, np.ndarray | np.generic):
        return _json_value(value.tolist())
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else None
    if isinstance(value, str | int):
        return value
    if isinstance(value, Mapping):
        return {str(key): _json_value(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_json_value(item) for item in value]
    raise TypeError(f"a measure has the type {type(value).__name__}, which JSON does not know")
