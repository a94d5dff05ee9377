"""Scrapy items, and the limit on how many of them are in memory."""

import asyncio
from dataclasses import dataclass, field

from lightmeter.harvest.catalogue.items import RequestItem


@dataclass(frozen=True, slots=True)
class DownloadedPhoto:
    """The unchanged bytes of a photograph; the item that the pipeline processes."""

    item: RequestItem
    data: bytes = field(repr=False)


class DownloadError(Exception):
    """A local file or a source's own URL cannot be read; the message is the reason of the sighting."""


class InFlightLimit:
    """Limits the photographs between download and catalogue, and so the memory and what a kill can lose.

    Args:
        size: Maximum number of photographs in flight.
    """

    def __init__(self, size: int) -> None:
        self._slots = asyncio.Semaphore(size)
        self._sightings: set[int] = set()

    async def acquire(self, item: RequestItem) -> None:
        """Wait for a free slot; an item that already has one keeps it."""
        if item.sighting_id not in self._sightings:
            await self._slots.acquire()
            self._sightings.add(item.sighting_id)

    def release(self, item: RequestItem) -> None:
        """Free the slot of an item, if it has one."""
        if item.sighting_id in self._sightings:
            self._sightings.remove(item.sighting_id)
            self._slots.release()
