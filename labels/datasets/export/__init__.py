"""Exports of data sets with their images."""
