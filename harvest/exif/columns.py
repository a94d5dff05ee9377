"""The normalised EXIF columns: name, type, unit and display format of each, defined once.

The SQL model, the query language, exports, manifests, pages and cards are made from `EXIF_COLUMNS`.
"""

from dataclasses import dataclass, field, fields
from typing import Any, get_args, get_type_hints

from lightmeter.exposure import format_setting

EXIF_PRECEDENCE = ("file", "api", "sidecar")
"""Where EXIF values can come from; the first origin that has a value determines the effective one."""


@dataclass(frozen=True, slots=True)
class ExifColumn:
    """One normalised EXIF column.

    Attributes:
        name: Name in SQL, queries, exports and manifests.
        type: ``str``, ``float``, ``bool`` or ``int``.
        unit: Unit of the stored value, empty for none.
        title: Heading in tables for people.
        aliases: Names that photographers use: in queries for the column, in tables for its values as they write them.
    """

    name: str
    type: type
    unit: str
    title: str
    aliases: tuple[str, ...]

    def format(self, value: Any) -> str:
        """Return a value as photographers write it, such as ``f/2.8`` or ``1/125 s``."""
        if self.type is bool:
            return "yes" if value else "no"
        return format_setting(self.name, value) if self.type is float else str(value)


def _column(title: str, unit: str = "", aliases: tuple[str, ...] = ()) -> Any:
    return field(default=None, metadata={"title": title, "unit": unit, "aliases": aliases})


@dataclass(frozen=True)  # slots would make the messages of worker processes slow
class ExifValues:
    """Normalised EXIF values of one photograph, None where no plausible value is known.

    Attributes:
        film: Film, if the photograph was made on film and scanned or copied; ``unknown`` without its name.
        f_number: Focal length divided by the diameter of the entrance pupil.
        exposure_time_s: Exposure time in seconds.
        iso: Exposure index.
        focal_length_mm: Focal length of the lens.
        focal_length_35mm: Focal length with the same field of view on a 36 mm × 24 mm frame, in mm.
        flash_fired: Whether the flash fired.
        taken_at: Local time in ISO 8601, with an offset only if EXIF has one; if parts are unknown it is shorter
            (``1993-08``).
        software: Program that wrote the file.
        orientation: 1 to 8 (Exif 2.32, tag 0x0112).
    """

    make: str | None = _column("Make")
    model: str | None = _column("Model")
    lens: str | None = _column("Lens")
    f_number: float | None = _column("Aperture", aliases=("aperture", "f"))
    exposure_time_s: float | None = _column("Shutter speed", "s", ("shutter", "exposure"))
    iso: float | None = _column("ISO")
    focal_length_mm: float | None = _column("Focal length", "mm", ("focal_length", "mm"))
    focal_length_35mm: float | None = _column("35 mm equivalent", "mm", ("mm35",))
    flash_fired: bool | None = _column("Flash", aliases=("flash",))
    taken_at: str | None = _column("Taken", aliases=("date", "year"))
    film: str | None = _column("Film")
    software: str | None = _column("Software")
    orientation: int | None = _column("Orientation")


_TYPES = get_type_hints(ExifValues)

EXIF_COLUMNS = {
    column.name: ExifColumn(column.name, get_args(_TYPES[column.name])[0], **column.metadata)
    for column in fields(ExifValues)
}
"""All columns by name, in display order."""

EXIF_ALIASES = {alias: column.name for column in EXIF_COLUMNS.values() for alias in column.aliases}
"""Columns by the names that photographers use."""

CAPTURE_COLUMNS = tuple(name for name in EXIF_COLUMNS if name not in ("film", "software", "orientation"))
"""Names of the columns that describe the capture; the others describe film and file."""

TECHNICAL_TAGS = frozenset({
    # camera and lens
    "make", "model", "uniquecameramodel", "camera", "lens", "lensid", "lensinfo", "lensmake", "lensmodel",
    "lensspecification", "lenstype", "firmware", "firmwareversion", "camerafirmware", "imagetype",
    # exposure
    "fnumber", "aperture", "aperturevalue", "maxaperture", "maxaperturevalue", "minaperture", "exposure",
    "exposuretime", "shutterspeed", "shutterspeedvalue", "exposureprogram", "exposuremode", "exposurebias",
    "exposurebiasvalue", "exposurecompensation", "exposureindex", "brightnessvalue", "meteringmode", "lightsource",
    "flash", "flashenergy", "flashmode", "fired", "whitebalance", "subjectdistance", "subjectdistancerange",
    "subjectarea", "subjectlocation", "spectralsensitivity", "selftimer", "selftimermode",
    "iso", "isospeed", "isospeedratings", "photographicsensitivity", "isosetting", "baseiso", "sensitivitytype",
    "standardoutputsensitivity", "recommendedexposureindex", "isospeedlatitudeyyy", "isospeedlatitudezzz",
    "focallength", "focallengthin35mmfilm", "focallengthin35mmformat", "focallength35mmformat",
    "digitalzoom", "digitalzoomratio", "focalplanexresolution", "focalplaneyresolution", "focalplaneresolutionunit",
    "scenetype", "scenecapturetype", "gaincontrol", "contrast", "saturation", "sharpness", "customrendered",
    "sensingmethod", "filesource", "cfapattern", "compositeimage", "compositeimagecount", "focusmode", "macromode",
    "recordmode", "continuousdrivemode", "drivemode", "quality", "imagequality", "easymode", "focustype",
    "ambienttemperature", "humidity", "pressure", "waterdepth", "acceleration", "cameraelevationangle",
    # image
    "imagewidth", "imagelength", "imageheight", "exifimagewidth", "exifimageheight", "pixelxdimension",
    "pixelydimension", "imagesize", "bitspersample", "samplesperpixel", "compression", "compressedbitsperpixel",
    "photometricinterpretation", "planarconfiguration", "componentsconfiguration", "colorspace", "gamma",
    "whitepoint", "primarychromaticities", "xresolution", "yresolution", "resolutionunit", "orientation",
    "ycbcrcoefficients", "ycbcrpositioning", "ycbcrsubsampling", "newsubfiletype", "subfiletype", "exifversion",
    "flashpixversion", "interopindex", "interopversion", "interoperabilityindex", "interoperabilityversion",
    "dngversion", "dngbackwardversion",
    # time and software
    "datetime", "datetimeoriginal", "datetimedigitized", "dateandtime", "dateandtimeoriginal", "dateandtimedigitized",
    "createdate", "modifydate", "offsettime", "offsettimeoriginal", "offsettimedigitized", "subsectime",
    "subsectimeoriginal", "subsectimedigitized", "timezoneoffset", "software", "processingsoftware", "creatortool",
    "rawdevelopingsoftware", "imageeditingsoftware", "metadataeditingsoftware",
    # film and scanning
    "film", "filmname", "filmmaker", "filmalias", "filmgrain", "filmtype", "filmformat", "filmiso", "developer",
    "developermaker", "developerdilution", "developprocess", "developtime", "processtype", "exposurenumber", "filter",
    "scanner", "scannermaker", "scannermake", "scannermodel", "scannersoftware", "pushpull", "developmentdilution",
    "developmenttime", "developmenttemperature", "capturecameramake", "capturecameramodel", "capturelensmake",
    "capturelensmodel", "capturefocallength", "captureiso", "captureexposure", "capturefilmstock",
    "capturefilmmanufacturer", "capturefilmformat", "capturefilmcolortype", "capturefilmiso", "scanmethod",
    "scancameramake", "scancameramodel", "scanlensmake", "scanlensmodel", "scanfocallength", "scanaperture",
    "scanexposure", "scaniso",
})  # fmt: skip
"""Tags that say how a photograph was made, by plain name; only they are stored unless the settings ask for all.

Names, texts, places, serial numbers and unknown tags are not among them.
"""
