"""Selection of photographs for `lightmeter.selection`."""

from collections.abc import Iterator

from sqlalchemy import select

from lightmeter.harvest.catalogue.database.session import open_engine, pages
from lightmeter.harvest.catalogue.models import Image
from lightmeter.harvest.catalogue.query.parser import condition_of
from lightmeter.project import Project

_PAGE = 2000


def select_photographs(project: Project, where: str) -> Iterator[str]:
    """Yield the SHA-256 of the readable photographs that match a query, in the order of their ids.

    Raises:
        UsageError: The query is invalid.
    """
    query, condition = select(Image.id, Image.sha256).where(Image.problem.is_(None)), condition_of(where)
    if condition is not None:
        query = query.where(condition)
    engine = open_engine(project)
    return (sha256 for page in pages(engine, query, Image.id, _PAGE) for _, sha256 in page)
