"""Source of the photographs of FlickrExif, and the split files of its authors."""

from lightmeter.harvest.sources.flickr_exif.source import FlickrExif

__all__ = ["FlickrExif"]
