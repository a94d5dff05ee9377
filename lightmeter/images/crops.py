"""Crops of image files without loss."""

from lightmeter.images.geometry import Box
from lightmeter.images.metadata import PNG_MODES, lossless
from lightmeter.images.reader import open_image, pixel_orientation, to_eight_bit


def crop_bytes(data: bytes, box: Box) -> bytes:
    """Return a crop as lossless PNG with the EXIF orientation and the colour profile of the photograph.

    Args:
        data: Bytes of an image file.
        box: Crop in file pixels.
    """
    with open_image(data) as image:
        image.load()
        orientation = pixel_orientation(image)
        pixels = image
        if image.mode not in PNG_MODES:
            pixels = to_eight_bit(image)
            pixels.info.pop("icc_profile", None)  # of other channels
        crop = pixels.crop((box.x, box.y, box.x + box.width, box.y + box.height))
    return lossless(crop, orientation).data


def png_bytes(data: bytes) -> bytes:
    """Return an image as lossless PNG, as `crop_bytes` does."""
    with open_image(data) as image:
        return crop_bytes(data, Box(0, 0, image.width, image.height))
