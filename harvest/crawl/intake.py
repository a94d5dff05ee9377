"""What a worker does with a photograph's bytes: it looks at them, and keeps them if they are an image."""

import hashlib
from dataclasses import dataclass

from lightmeter.harvest.catalogue.models import SightingState
from lightmeter.harvest.crawl.items import IngestedPhoto
from lightmeter.harvest.filters import InspectionPlan, inspect
from lightmeter.harvest.store import PhotoStore


@dataclass(frozen=True, slots=True)
class IngestResult:
    """What became of bytes.

    Attributes:
        photograph: if they are in the store now.
    """

    state: SightingState
    reason: str | None = None
    photograph: IngestedPhoto | None = None


@dataclass(frozen=True, slots=True)
class IngestTask:
    """Takes photographs in. It travels to the workers, so that the crawl's own process neither hashes nor writes."""

    store: PhotoStore
    plan: InspectionPlan

    def take(self, data: bytes, required: tuple[str, ...]) -> IngestResult:
        """Look at a photograph's bytes and keep them.

        Args:
            data: as they were fetched.
            required: EXIF columns that the file must have.

        Raises:
            OSError: if the store cannot be written.
        """
        inspected = inspect(data, self.plan)
        if not inspected.format:
            return IngestResult(SightingState.FAILED, inspected.problem)
        missing = [name for name in required if getattr(inspected.exif.values, name) is None]
        if missing:
            return IngestResult(SightingState.SKIPPED, f"required EXIF missing: {', '.join(missing)}")
        sha256 = hashlib.sha256(data).hexdigest()
        self.store.put(sha256, data)
        state = SightingState.FAILED if inspected.problem else SightingState.FETCHED
        return IngestResult(state, inspected.problem, IngestedPhoto(sha256, len(data), inspected))
