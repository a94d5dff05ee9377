"""EXIF: readers, and one form for what the many sources write."""

from harvest.exif.normalise import column_of, normalise
from harvest.exif.reader import read_exif, read_image, read_tags, read_xmp
from harvest.exif.reading import ExifReading, ExifValues, Privacy

__all__ = [
    "ExifReading",
    "ExifValues",
    "Privacy",
    "column_of",
    "normalise",
    "read_exif",
    "read_image",
    "read_tags",
    "read_xmp",
]
