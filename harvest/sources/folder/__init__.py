"""Local folders of photographs, with sidecar files."""

from lightmeter.harvest.sources.folder.source import Folder

__all__ = ["Folder"]
