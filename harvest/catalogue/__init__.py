"""The SQL catalogue: every sighting, image, EXIF set, inspection, region and label."""
