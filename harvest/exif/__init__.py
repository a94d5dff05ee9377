"""EXIF: readers, and one form for what the many sources write."""

from lightmeter.harvest.exif.models import ExifRecord, ExifValues, Privacy
from lightmeter.harvest.exif.normalise import column_of, normalise
from lightmeter.harvest.exif.reader import read_exif, read_image, read_tags, read_xmp

__all__ = [
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
