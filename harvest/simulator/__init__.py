"""A camera that takes photographs of scenes it draws itself: for demonstration, tests and calibration.

Nothing here is a photograph of the world, and everything says so ("simulated") in its EXIF Software tag.
"""
