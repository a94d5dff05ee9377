"""Alembic environment: uses the connection that `lightmeter.harvest.catalogue.database.session` provides."""

from typing import Any, Literal

from alembic import context
from alembic.autogenerate.api import AutogenContext

from lightmeter.harvest.catalogue.models import Base, UTCDateTime


def _render(kind: str, item: Any, _context: AutogenContext) -> str | Literal[False]:
    """Render custom column types as plain SQLAlchemy types, so that migrations never import current code."""
    return "sa.DateTime(timezone=True)" if kind == "type" and isinstance(item, UTCDateTime) else False


context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=Base.metadata,
    render_as_batch=True,
    render_item=_render,
)
with context.begin_transaction():
    context.run_migrations()
