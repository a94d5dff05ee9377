"""Image files: formats, decoding, geometry and pixel statistics."""
