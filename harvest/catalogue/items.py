"""Records exchanged between the crawl engine and the catalogue."""

from dataclasses import dataclass, field

from lightmeter.harvest.catalogue.models import SightingState
from lightmeter.harvest.catalogue.records import MAX_SITE_LENGTH, clean_reason, stable_text
from lightmeter.harvest.ingest_task import IngestedPhoto


@dataclass(frozen=True, slots=True)
class RunOptions:
    """Engine options of a run, stored with it so that ``resume`` uses the same.

    Attributes:
        limit: Maximum number of new sightings.
        metadata_only: Record sightings without downloading.
        require: EXIF columns that a photograph must have, such as ``f_number``.
        licences: Allowed licences; empty for all.
        refresh: Download known photographs again and keep what has changed.
    """

    limit: int | None = None
    metadata_only: bool = False
    require: tuple[str, ...] = ()
    licences: tuple[str, ...] = ()
    refresh: bool = False


@dataclass(frozen=True, slots=True)
class SourceContext:
    """Properties of a run's source that decide how its items are stored.

    Attributes:
        site: Source name in the catalogue.
        schemes: Allowed URL schemes of media URLs.
        keep_all_tags: Whether EXIF tags that are not technical are stored.
        provider: Name and package of the source, for messages.
    """

    site: str
    schemes: frozenset[str]
    keep_all_tags: bool = False
    provider: str = "the source"

    def __post_init__(self) -> None:
        """Bound the name, which plugins make of anything."""
        object.__setattr__(self, "site", stable_text(str(self.site), MAX_SITE_LENGTH))


@dataclass(frozen=True, slots=True)
class RequestItem:
    """A sighting in the catalogue that is waiting for its download.

    Attributes:
        required: EXIF columns that the file must have because the source did not provide them.
        worker: Id of the worker that has leased the photograph; None for one that is not leased.
        authorisation: Value of the Authorization header; only in memory.
    """

    sighting_id: int
    media_url: str
    required: tuple[str, ...] = ()
    worker: str | None = None
    authorisation: str | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class FetchOutcome:
    """Final state of a request item.

    Attributes:
        photo: The photograph, if it is in the store.
    """

    item: RequestItem
    state: SightingState
    reason: str | None = None
    photo: IngestedPhoto | None = None

    def __post_init__(self) -> None:
        """Bound the reason, which may quote strangers."""
        object.__setattr__(self, "reason", clean_reason(self.reason) if self.reason else None)
