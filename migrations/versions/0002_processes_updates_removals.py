"""Processes of runs, updates of known photographs, and tombstones of removed ones."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    op.add_column("runs", sa.Column("new", sa.Integer(), nullable=False, server_default="0"))
    op.add_column("runs", sa.Column("process", sa.Text(), nullable=True))
    op.add_column("runs", sa.Column("heartbeat_at", sa.DateTime(timezone=True), nullable=True))
    op.execute("UPDATE runs SET new = (SELECT count(*) FROM sightings WHERE sightings.run_id = runs.id)")

    op.add_column("sightings", sa.Column("file_version", sa.Text(), nullable=True))
    op.add_column("sightings", sa.Column("edited", sa.JSON(none_as_null=True), nullable=True))
    op.add_column("sightings", sa.Column("updated_run_id", _ID, nullable=True))
    op.create_index("ix_sightings_updated_run_id", "sightings", ["updated_run_id"])

    op.create_table(
        "tombstones",
        sa.Column("id", _ID, nullable=False),
        sa.Column("sha256", sa.String(length=64), nullable=False),
        sa.Column("sighting_key", sa.String(length=64), nullable=True),
        sa.Column("url_key", sa.String(length=64), nullable=True),
        sa.Column("removed_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_tombstones")),
    )
    for column in ("sha256", "sighting_key", "url_key"):
        op.create_index(f"ix_tombstones_{column}", "tombstones", [column])


def downgrade() -> None:
    op.drop_table("tombstones")
    op.drop_index("ix_sightings_updated_run_id", "sightings")
    for column in ("file_version", "edited", "updated_run_id"):
        op.drop_column("sightings", column)
    for column in ("new", "process", "heartbeat_at"):
        op.drop_column("runs", column)
