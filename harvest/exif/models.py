"""What is known of how a photograph was made."""

from dataclasses import dataclass, field

from lightmeter.harvest.exif.columns import ExifValues
from lightmeter.settings import PrivacySection


@dataclass(frozen=True, slots=True)
class Privacy:
    """Which personal data of EXIF are kept; none unless asked for.

    Attributes:
        gps: where the photograph was taken.
        serial_numbers: of the camera body and the lens.
        names: of owner, artist and copyright holder.
    """

    gps: bool = False
    serial_numbers: bool = False
    names: bool = False

    @classmethod
    def of(cls, settings: PrivacySection) -> "Privacy":
        """Return what a project's settings ask for."""
        return cls(settings.keep_gps, settings.keep_serial_numbers, settings.keep_names)


@dataclass(frozen=True, slots=True)
class ExifRecord:
    """What one origin says.

    Attributes:
        values: the normalised columns.
        raw: every tag as read, by IFD, as JSON knows it; personal data left out unless kept.
        serial: of the camera body; for hashing in memory, never stored.
    """

    values: ExifValues = field(default_factory=ExifValues)
    raw: dict[str, dict[str, object]] = field(default_factory=dict)
    serial: str | None = field(default=None, repr=False)
