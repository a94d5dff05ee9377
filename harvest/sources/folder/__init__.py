"""Source of photographs in local folders, with sidecar files."""

from lightmeter.harvest.sources.folder.source import Folder

__all__ = ["Folder"]
