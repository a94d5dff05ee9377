"""Source of photographs on Flickr."""

from lightmeter.harvest.sources.flickr.source import Flickr

__all__ = ["Flickr"]
