"""What passes through the engine: a job for each sighting, and its outcome."""

from dataclasses import dataclass, field

from lightmeter.harvest.catalogue.models import SightingState
from lightmeter.harvest.exif import Privacy
from lightmeter.harvest.filters import InspectionResult


@dataclass(frozen=True, slots=True)
class RunOptions:
    """What a run was asked besides its query; kept with the run, so that ``resume`` does the same.

    Attributes:
        limit: new sightings to find at most.
        metadata_only: record sightings, fetch nothing.
        require: normalised EXIF columns that a photograph must have (``f_number`` …).
        licences: licences that are allowed; empty for all.
    """

    limit: int | None = None
    metadata_only: bool = False
    require: tuple[str, ...] = ()
    licences: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class SourceContext:
    """Where a run's sightings come from.

    Attributes:
        site: the name under which they stand in the catalogue.
        schemes: what their media URLs may begin with.
        privacy: which personal data of the EXIF that the source tells are kept.
    """

    site: str
    schemes: frozenset[str]
    privacy: Privacy = field(default_factory=Privacy)


@dataclass(frozen=True, slots=True)
class FetchRequest:
    """A sighting that stands in the catalogue and waits for its bytes.

    Attributes:
        required: EXIF columns that the file must have, because the source did not tell them.
    """

    sighting_id: int
    media_url: str
    required: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class IngestedPhoto:
    """Bytes that were looked at and stored."""

    sha256: str
    file_size: int
    inspected: InspectionResult


@dataclass(frozen=True, slots=True)
class FetchOutcome:
    """What became of a job.

    Attributes:
        photograph: its bytes, if they are in the store.
    """

    job: FetchRequest
    state: SightingState
    reason: str | None = None
    photograph: IngestedPhoto | None = None
