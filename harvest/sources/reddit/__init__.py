"""Photographs on Reddit."""

from harvest.sources.reddit.source import Reddit

__all__ = ["Reddit"]
