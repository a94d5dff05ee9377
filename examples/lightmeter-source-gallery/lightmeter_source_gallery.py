"""Photographs of galleries that publish them as pages of JSON: {"photographs": [...], "next": "page2.json"}."""

from collections.abc import Iterator
from typing import Any
from urllib.parse import urljoin

import httpx

from lightmeter.harvest import Argument, Checkpoint, Option, Sighting, Source, SourceQuery


class Gallery(Source):
    name = "gallery"
    summary = "a gallery that publishes its photographs as pages of JSON"

    class Query(SourceQuery):
        """Harvest the photographs of a gallery."""

        start: str = Argument("URL of the first page.")
        photographer: str | None = Option(None, "Only photographs of this photographer.")

    def discover(self, query: Any, cursor: dict[str, Any] | None) -> Iterator[Sighting | Checkpoint]:
        page = cursor["page"] if cursor else query.start
        while page:
            document = httpx.get(page).raise_for_status().json()
            for entry in document["photographs"]:
                if query.photographer in (None, entry["by"]):
                    yield Sighting(
                        source_id=entry["id"],
                        media_url=urljoin(page, entry["image"]),
                        owner=entry["by"],
                        licence=entry["licence"],
                        attribution=f"{entry['title']} by {entry['by']}",
                    )
            page = urljoin(page, document["next"]) if document["next"] else None
            yield Checkpoint({"page": page})
