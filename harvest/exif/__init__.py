"""EXIF: readers, normalisation and privacy."""

from lightmeter.harvest.exif.columns import CAPTURE_COLUMNS, EXIF_COLUMNS, EXIF_PRECEDENCE, ExifColumn, ExifValues
from lightmeter.harvest.exif.normalise import column_of, normalise
from lightmeter.harvest.exif.privacy import Privacy
from lightmeter.harvest.exif.reader import ExifRecord, read_exif, read_image, read_tags, read_xmp

__all__ = [
    "CAPTURE_COLUMNS",
    "EXIF_COLUMNS",
    "EXIF_PRECEDENCE",
    "ExifColumn",
    "ExifRecord",
    "ExifValues",
    "Privacy",
    "column_of",
    "normalise",
    "read_exif",
    "read_image",
    "read_tags",
    "read_xmp",
]
