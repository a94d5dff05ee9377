"""Which boxes of a kind count: those that a person drew, where there are some, else those that were found."""

from sqlalchemy import ColumnElement, and_, exists, or_
from sqlalchemy.orm import aliased

from lightmeter.harvest.catalogue.models import Region

HAND = "hand"
"""The origin of boxes that a person drew."""


def effective_regions(kind: str, least_score: float = 0.0, least_size: int = 0) -> ColumnElement[bool]:
    """Return the condition on the table ``regions`` that a box is of a kind and counts.

    A person's boxes are all that there are in a photograph; one without width says that there is none. Without them
    those count that a filter or a source found.

    Args:
        kind: of region.
        least_score: from which a box that was found counts, 0 to 1; one without a score always does.
        least_size: longer side from which one with a score counts, in pixels.
    """
    drawn = aliased(Region)
    judged = exists().where(drawn.image_id == Region.image_id, drawn.kind == kind, drawn.origin == HAND)
    large = (Region.width >= least_size) | (Region.height >= least_size)
    certain = Region.score.is_(None) | ((Region.score >= least_score) & large)
    return and_(
        Region.kind == kind,
        or_(
            and_(Region.origin == HAND, Region.width > 0),
            and_(Region.origin != HAND, certain, ~judged.correlate(Region)),
        ),
    )
