"""The work of a worker process for one photograph: inspect and store it.

Worker processes import this module. It needs neither Scrapy nor SQLAlchemy, so that they start quickly.
"""

import hashlib
from dataclasses import dataclass

from lightmeter.harvest.filters.pipeline import InspectionPlan, InspectionResult, inspect
from lightmeter.store.base import PhotoStore


@dataclass(frozen=True)  # slots would make the messages of worker processes slow
class IngestedPhoto:
    """A photograph that is staged in the photo store, with its inspection result.

    Attributes:
        repaired: Whether a damaged file of the store was replaced.
    """

    sha256: str
    file_size: int
    inspected: InspectionResult
    repaired: bool = False


class RequiredExifMissing(Exception):
    """A photograph lacks EXIF that the run requires; the message is the reason that is recorded."""


class NotAnImage(Exception):
    """The bytes are not an image; the message is the reason that is recorded."""


@dataclass(frozen=True, slots=True)
class IngestTask:
    """Inspects and stores photographs, so that the crawler neither decodes, nor hashes, nor writes files."""

    store: PhotoStore
    plan: InspectionPlan

    def run(self, data: bytes, required: tuple[str, ...] = ()) -> IngestedPhoto:
        """Inspect a photograph and stage it in the store.

        Args:
            data: Bytes as downloaded.
            required: EXIF columns that the file must have.

        Raises:
            NotAnImage: The bytes are not an image.
            RequiredExifMissing: A required EXIF column is missing.
            StoreError: The store cannot be written to.
        """
        inspected = inspect(data, self.plan)
        if not inspected.format:
            raise NotAnImage(inspected.problem)
        missing = [name for name in required if getattr(inspected.exif.values, name) is None]
        if missing:
            raise RequiredExifMissing(f"required EXIF missing: {', '.join(missing)}")
        sha256 = hashlib.sha256(data).hexdigest()
        repaired = self.store.stage(sha256, data)
        return IngestedPhoto(sha256, len(data), inspected, repaired)
