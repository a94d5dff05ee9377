"""Source of photographs on Reddit."""

from lightmeter.harvest.sources.reddit.source import Reddit

__all__ = ["Reddit"]
