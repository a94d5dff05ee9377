"""What a filter is: it measures a picture, and judges the measures."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Generic, Literal, TypeVar

from lightmeter.harvest.filters.image import DecodedImage
from lightmeter.settings import InspectSection, Section

Measures = Mapping[str, Any]
"""Measures by name, as JSON knows them."""


@dataclass(frozen=True, slots=True)
class DecodeLimits:
    """What one photograph may cost.

    Attributes:
        max_bytes: of its file.
        max_pixels: that are decoded.
        timeout_s: seconds for decoding and all filters together.
        maker_notes_s: seconds of these for its MakerNotes; 0 if they are not read.
    """

    max_bytes: int = 200_000_000
    max_pixels: int = 200_000_000
    timeout_s: float = 30.0
    maker_notes_s: float = 0.0

    @classmethod
    def of(cls, settings: InspectSection, max_bytes: int) -> "DecodeLimits":
        """Return the limits of a project's settings."""
        return cls(max_bytes, settings.max_pixels, settings.timeout_s, settings.maker_notes_s)


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether a filter would keep a photograph, and if not, why: a short term."""

    verdict: Literal["keep", "drop"]
    reason: str | None = None


KEEP = Verdict("keep")


@dataclass(frozen=True, slots=True)
class Box:
    """A box in stored pixels, before orientation is applied.

    Attributes:
        kind: ``inside`` (of a frame), ``face``.
        score: how sure the filter is, 0 to 1.
        details: what else is known, such as landmarks.
    """

    kind: str
    x: int
    y: int
    width: int
    height: int
    score: float | None = None
    details: dict[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class Measurement:
    """What a filter saw, before anything is judged."""

    measures: dict[str, Any]
    regions: tuple[Box, ...] = ()


@dataclass(frozen=True, slots=True)
class FilterResult:
    """What one version of a filter measured, and what it says of that under the settings of the day."""

    version: int
    verdict: str
    reason: str | None = None
    measures: dict[str, Any] = field(default_factory=dict)
    regions: tuple[Box, ...] = ()


S = TypeVar("S", bound=Section)


class Filter(Generic[S]):
    """A filter. Subclasses are plugins of the group ``lightmeter.filters``.

    Attributes:
        name: what its findings stand under.
        version: raised when its measures change, so that stored ones count as outdated.
        summary: one line on what it looks for.
        Settings: its thresholds; `judge` alone uses them, so that new ones need no new decode.
    """

    name: ClassVar[str]
    version: ClassVar[int]
    summary: ClassVar[str]
    Settings: type[S]

    def __init__(self, settings: S | None = None) -> None:
        self.settings: S = settings or self.Settings()

    def measure(self, picture: DecodedImage) -> Measurement:
        """Look at a picture."""
        raise NotImplementedError

    def judge(self, measures: Measures, settings: S) -> Verdict:
        """Return the verdict on measures, which may come from the catalogue."""
        raise NotImplementedError

    def find(self, picture: DecodedImage) -> FilterResult:
        """Measure and judge."""
        seen = self.measure(picture)
        said = self.judge(seen.measures, self.settings)
        return FilterResult(self.version, said.verdict, said.reason, seen.measures, seen.regions)
