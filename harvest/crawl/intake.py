"""What a worker does with a photograph's bytes: it looks at them, and keeps them if they are an image."""

import hashlib
from dataclasses import dataclass

from harvest.catalogue.tables import SightingState
from harvest.crawl.job import Photograph
from harvest.inspect import Plan, inspect
from harvest.store import PhotoStore


@dataclass(frozen=True, slots=True)
class Taken:
    """What became of bytes.

    Attributes:
        photograph: if they are in the store now.
    """

    state: SightingState
    reason: str | None = None
    photograph: Photograph | None = None


@dataclass(frozen=True, slots=True)
class Intake:
    """Takes photographs in. It travels to the workers, so that the crawl's own process neither hashes nor writes."""

    store: PhotoStore
    plan: Plan

    def take(self, data: bytes, required: tuple[str, ...]) -> Taken:
        """Look at a photograph's bytes and keep them.

        Args:
            data: as they were fetched.
            required: EXIF columns that the file must have.

        Raises:
            OSError: if the store cannot be written.
        """
        inspected = inspect(data, self.plan)
        if not inspected.format:
            return Taken(SightingState.FAILED, inspected.problem)
        missing = [name for name in required if getattr(inspected.exif.values, name) is None]
        if missing:
            return Taken(SightingState.SKIPPED, f"required EXIF missing: {', '.join(missing)}")
        sha256 = hashlib.sha256(data).hexdigest()
        self.store.put(sha256, data)
        state = SightingState.FAILED if inspected.problem else SightingState.FETCHED
        return Taken(state, inspected.problem, Photograph(sha256, len(data), inspected))
