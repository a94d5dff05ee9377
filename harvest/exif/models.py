"""What is known of how a photograph was made."""

from dataclasses import dataclass, field

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
class ExifValues:
    """The normalised columns: one unit each, None where nothing credible is known.

    Attributes:
        f_number: N, focal length over the diameter of the entrance pupil.
        exposure_time_s: seconds.
        iso: exposure index.
        focal_length_mm: as the lens has it.
        focal_length_35mm: that gives the same field on a 36 mm × 24 mm frame, in mm.
        taken_at: ISO 8601, with an offset only where EXIF has one.
        orientation: 1 to 8 (Exif 2.32, tag 0x0112).
    """

    make: str | None = None
    model: str | None = None
    lens: str | None = None
    software: str | None = None
    f_number: float | None = None
    exposure_time_s: float | None = None
    iso: float | None = None
    focal_length_mm: float | None = None
    focal_length_35mm: float | None = None
    flash_fired: bool | None = None
    taken_at: str | None = None
    orientation: int | None = None


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
