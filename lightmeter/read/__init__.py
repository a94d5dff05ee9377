"""``lightmeter read``: what the shipped model says about photographs, beside their EXIF."""
