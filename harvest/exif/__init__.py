"""EXIF: readers, normalisation and privacy."""
