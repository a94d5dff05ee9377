"""Filters: measure images, judge the measures; each image is decoded once for all filters."""
