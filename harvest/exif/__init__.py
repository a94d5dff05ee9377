"""EXIF: readers, and one form for what the many sources write."""

from harvest.exif.normalise import normalise
from harvest.exif.reader import read_exif, read_image, read_tags, read_xmp
from harvest.exif.reading import ExifReading, ExifValues, Privacy

__all__ = ["ExifReading", "ExifValues", "Privacy", "normalise", "read_exif", "read_image", "read_tags", "read_xmp"]
