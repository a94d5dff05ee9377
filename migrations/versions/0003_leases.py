"""Leases of workers on photographs and hosts, and the rate limits of services."""

from typing import Any
from urllib.parse import urlsplit

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

_PENDING = sa.text("state = 'found'")
_LEASED = sa.text("worker IS NOT NULL")
_HOST = r"rtrim(btrim(lower(coalesce(substring(media_url FROM '^https?://(\[[^]]*\]|[^/:?#]*)'), '')), '[]'), '.')"


def upgrade() -> None:
    op.add_column("sightings", sa.Column("host", sa.Text(), nullable=True))
    op.add_column("sightings", sa.Column("worker", sa.Text(), nullable=True))
    op.add_column("sightings", sa.Column("lease_until", sa.DateTime(timezone=True), nullable=True))
    _set_hosts()
    op.create_index(
        "ix_sightings_run_id_host_id",
        "sightings",
        ["run_id", "host", "id"],
        sqlite_where=_PENDING,
        postgresql_where=_PENDING,
    )
    op.create_index("ix_sightings_worker", "sightings", ["worker"], sqlite_where=_LEASED, postgresql_where=_LEASED)
    op.create_table(
        "workers",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("process", sa.Text(), nullable=False),
        sa.Column("lease_until", sa.DateTime(timezone=True), nullable=False),
        sa.Column("heartbeat_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("finished", sa.Integer(), nullable=False),
        sa.Column("rate", sa.Float(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_workers")),
    )
    op.create_table(
        "hosts",
        sa.Column("host", sa.Text(), nullable=False),
        sa.Column("worker", sa.Text(), nullable=True),
        sa.Column("lease_until", sa.DateTime(timezone=True), nullable=True),
        sa.Column("not_before", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("host", name=op.f("pk_hosts")),
    )
    op.create_index("ix_hosts_worker", "hosts", ["worker"])
    op.create_table(
        "rate_limits",
        sa.Column("service", sa.String(length=64), nullable=False),
        sa.Column("due", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("service", name=op.f("pk_rate_limits")),
    )


def downgrade() -> None:
    for table in ("rate_limits", "hosts", "workers"):
        op.drop_table(table)
    op.drop_index("ix_sightings_worker", "sightings")
    op.drop_index("ix_sightings_run_id_host_id", "sightings")
    for column in ("lease_until", "worker", "host"):
        op.drop_column("sightings", column)


def _set_hosts() -> None:
    """Set the host of all photographs that are pending or may become so."""
    connection = op.get_bind()
    function = _HOST
    if connection.dialect.name == "sqlite":
        driver: Any = connection.connection.driver_connection
        driver.create_function("lightmeter_host", 1, _host, deterministic=True)
        function = "lightmeter_host(media_url)"
    op.execute(sa.text(f"UPDATE sightings SET host = {function} WHERE state <> 'fetched'"))  # noqa: S608 - constants


def _host(url: str | None) -> str:
    try:
        parts = urlsplit(url or "")
        return (parts.hostname or "").rstrip(".") if parts.scheme in {"http", "https"} else ""
    except ValueError:
        return ""
