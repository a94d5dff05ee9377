"""Photographs on Flickr."""

from harvest.sources.flickr.source import Flickr

__all__ = ["Flickr"]
