"""First tables."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


_BLANKS = "".join(chr(code) for code in (*range(9, 14), *range(28, 32), 0x85, 0xA0, 0x1680, *range(0x2000, 0x200B)))
_BLANKS += "\u2028\u2029\u202f\u205f\u3000"
_FOLDED = dict(zip("µſ\u0345ςϐϑϕϖϰϱϵᲀᲁᲂᲃᲄᲅᲆᲇᲈ", "μsισβθφπκρεвдосттъѣꙋ", strict=True))
"""Letters that case folding changes, but lower case does not."""

_EXPANDED = {
    "ß": "ss", "ŉ": "ʼn", "և": "եւ", "ẚ": "aʾ", "ﬀ": "ff", "ﬁ": "fi", "ﬂ": "fl", "ﬃ": "ffi", "ﬄ": "ffl", "ﬅ": "st",
    "ﬆ": "st", "ﬓ": "մն", "ﬔ": "մե", "ﬕ": "մի", "ﬖ": "վն", "ﬗ": "մխ",
}  # fmt: skip
"""Letters that case folding changes to several."""


def _create_name_key() -> None:
    """Create the function ``name_key`` of PostgreSQL: what `lightmeter.text.names.name_key` returns."""
    has_unicode = op.get_bind().scalar(sa.text("SELECT true FROM pg_collation WHERE collname = 'und-x-icu'"))
    collation = "und-x-icu" if has_unicode else "default"
    letters = f"""lower(normalize($1, NFD) COLLATE pg_catalog."{collation}")"""
    text = f"translate({letters}, '{''.join(_FOLDED)}{_BLANKS}', '{''.join(_FOLDED.values())}{' ' * len(_BLANKS)}')"
    for letter, letters in _EXPANDED.items():
        text = f"replace({text}, '{letter}', '{letters}')"
    op.execute(
        sa.text(
            "CREATE FUNCTION name_key(text) RETURNS text LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE AS "
            f"$$ SELECT btrim(regexp_replace(normalize({text}, NFC), ' +', ' ', 'g')) $$"
        )
    )


def upgrade() -> None:
    op.create_table(
        "datasets",
        sa.Column("id", _ID, nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("path", sa.Text(), nullable=False),
        sa.Column("manifest_sha256", sa.String(length=64), nullable=False),
        sa.Column("spec", sa.JSON(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_datasets")),
    )
    op.create_index("ix_datasets_name", "datasets", ["name"])

    op.create_table(
        "images",
        sa.Column("id", _ID, nullable=False),
        sa.Column("sha256", sa.String(length=64), nullable=False),
        sa.Column("format", sa.String(length=16), nullable=False),
        sa.Column("width", sa.Integer(), nullable=False),
        sa.Column("height", sa.Integer(), nullable=False),
        sa.Column("file_size", sa.BigInteger(), nullable=False),
        sa.Column("problem", sa.Text(), nullable=True),
        sa.Column("body", sa.String(length=64), nullable=True),
        sa.Column("quantisation", sa.String(length=16), nullable=True),
        sa.Column("stored_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_images")),
        sa.UniqueConstraint("sha256", name=op.f("uq_images_sha256")),
    )
    op.create_index("ix_images_body", "images", ["body"])

    op.create_table(
        "runs",
        sa.Column("id", _ID, nullable=False),
        sa.Column("source", sa.String(length=64), nullable=False),
        sa.Column("query", sa.JSON(), nullable=False),
        sa.Column("options", sa.JSON(), nullable=False),
        sa.Column(
            "state",
            sa.Enum("running", "finished", "stopped", "failed", name="runstate", native_enum=False, length=16),
            nullable=False,
        ),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column("cursor", sa.JSON(none_as_null=True), nullable=True),
        sa.Column("existing", sa.Integer(), nullable=False),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("ended_at", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_runs")),
    )
    op.create_table(
        "inspections",
        sa.Column("id", _ID, nullable=False),
        sa.Column("image_id", _ID, nullable=False),
        sa.Column("filter", sa.String(length=64), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("verdict", sa.String(length=32), nullable=False),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column("measures", sa.JSON(), nullable=False),
        sa.ForeignKeyConstraint(["image_id"], ["images.id"], name=op.f("fk_inspections_image_id_images")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_inspections")),
    )
    op.create_index("ix_inspections_filter_verdict", "inspections", ["filter", "verdict"])
    op.create_index("ix_inspections_image_id_filter", "inspections", ["image_id", "filter"], unique=True)

    op.create_table(
        "labels",
        sa.Column("id", _ID, nullable=False),
        sa.Column("image_id", _ID, nullable=False),
        sa.Column("target", sa.String(length=64), nullable=False),
        sa.Column("value", sa.Text(), nullable=True),
        sa.Column("number", sa.Float(), nullable=True),
        sa.Column("origin", sa.String(length=16), nullable=False),
        sa.Column("author", sa.Text(), nullable=False),
        sa.Column("version", sa.String(length=64), nullable=True),
        sa.Column("confidence", sa.Float(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["image_id"], ["images.id"], name=op.f("fk_labels_image_id_images")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_labels")),
    )
    op.create_index("ix_labels_image_id_target", "labels", ["image_id", "target"])

    op.create_table(
        "regions",
        sa.Column("id", _ID, nullable=False),
        sa.Column("image_id", _ID, nullable=False),
        sa.Column("kind", sa.String(length=32), nullable=False),
        sa.Column("origin", sa.String(length=64), nullable=False),
        sa.Column("x", sa.Integer(), nullable=False),
        sa.Column("y", sa.Integer(), nullable=False),
        sa.Column("width", sa.Integer(), nullable=False),
        sa.Column("height", sa.Integer(), nullable=False),
        sa.Column("orientation", sa.Integer(), nullable=False),
        sa.Column("score", sa.Float(), nullable=True),
        sa.Column("details", sa.JSON(none_as_null=True), nullable=True),
        sa.ForeignKeyConstraint(["image_id"], ["images.id"], name=op.f("fk_regions_image_id_images")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_regions")),
    )
    op.create_index("ix_regions_image_id_kind", "regions", ["image_id", "kind"])

    op.create_table(
        "sightings",
        sa.Column("id", _ID, nullable=False),
        sa.Column("run_id", _ID, nullable=False),
        sa.Column("source", sa.String(length=64), nullable=False),
        sa.Column("source_id", sa.Text(), nullable=False),
        sa.Column("media_url", sa.Text(), nullable=True),
        sa.Column("page_url", sa.Text(), nullable=True),
        sa.Column("file", sa.Text(), nullable=True),
        sa.Column("owner", sa.Text(), nullable=True),
        sa.Column("licence", sa.String(length=64), nullable=True),
        sa.Column("attribution", sa.Text(), nullable=True),
        sa.Column("title", sa.Text(), nullable=True),
        sa.Column("tags", sa.JSON(none_as_null=True), nullable=True),
        sa.Column("medium", sa.String(length=16), nullable=True),
        sa.Column("concepts", sa.JSON(none_as_null=True), nullable=True),
        sa.Column("published_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("source_metadata", sa.JSON(none_as_null=True), nullable=True),
        sa.Column(
            "state",
            sa.Enum(
                "found",
                "fetched",
                "skipped",
                "refused",
                "gone",
                "failed",
                name="sightingstate",
                native_enum=False,
                length=16,
            ),
            nullable=False,
        ),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("image_id", _ID, nullable=True),
        sa.Column("found_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("changed_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["image_id"], ["images.id"], name=op.f("fk_sightings_image_id_images")),
        sa.ForeignKeyConstraint(["run_id"], ["runs.id"], name=op.f("fk_sightings_run_id_runs")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_sightings")),
    )
    op.create_index("ix_sightings_file", "sightings", ["file"])
    op.create_index("ix_sightings_image_id", "sightings", ["image_id"])
    op.create_index("ix_sightings_media_url", "sightings", ["media_url"], postgresql_using="hash")
    if op.get_bind().dialect.name == "postgresql":
        _create_name_key()
        op.create_index("ix_sightings_owner", "sightings", [sa.text("name_key(owner)")])
        op.create_index("ix_labels_target", "labels", ["target"])
    op.create_index("ix_sightings_run_id_state_id", "sightings", ["run_id", "state", "id"])
    op.create_index("ix_sightings_source_id_source", "sightings", ["source_id", "source"], unique=True)
    op.create_index("ix_sightings_state_reason_run_id", "sightings", ["state", "reason", "run_id"])

    op.create_table(
        "exif",
        sa.Column("id", _ID, nullable=False),
        sa.Column("image_id", _ID, nullable=True),
        sa.Column("sighting_id", _ID, nullable=True),
        sa.Column("origin", sa.String(length=16), nullable=False),
        sa.Column("raw", sa.JSON(), nullable=False),
        sa.Column("make", sa.Text(), nullable=True),
        sa.Column("model", sa.Text(), nullable=True),
        sa.Column("lens", sa.Text(), nullable=True),
        sa.Column("f_number", sa.Float(), nullable=True),
        sa.Column("exposure_time_s", sa.Float(), nullable=True),
        sa.Column("iso", sa.Float(), nullable=True),
        sa.Column("focal_length_mm", sa.Float(), nullable=True),
        sa.Column("focal_length_35mm", sa.Float(), nullable=True),
        sa.Column("flash_fired", sa.Boolean(), nullable=True),
        sa.Column("taken_at", sa.Text(), nullable=True),
        sa.Column("film", sa.Text(), nullable=True),
        sa.Column("software", sa.Text(), nullable=True),
        sa.Column("orientation", sa.Integer(), nullable=True),
        sa.ForeignKeyConstraint(["image_id"], ["images.id"], name=op.f("fk_exif_image_id_images")),
        sa.ForeignKeyConstraint(["sighting_id"], ["sightings.id"], name=op.f("fk_exif_sighting_id_sightings")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_exif")),
    )
    op.create_index("ix_exif_image_id_origin", "exif", ["image_id", "origin"])
    op.create_index("ix_exif_sighting_id_origin", "exif", ["sighting_id", "origin"])

    op.create_table(
        "unreadable",
        sa.Column("id", _ID, nullable=False),
        sa.Column("run_id", _ID, nullable=False),
        sa.Column("location", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["run_id"], ["runs.id"], name=op.f("fk_unreadable_run_id_runs")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_unreadable")),
    )
    op.create_index("ix_unreadable_run_id_location", "unreadable", ["run_id", "location"], unique=True)

    op.create_table(
        "duplicate_groups",
        sa.Column("radius", sa.Integer(), nullable=False),
        sa.Column("image_id", _ID, nullable=False),
        sa.Column("phash", sa.BigInteger(), nullable=False),
        sa.Column("group_id", _ID, nullable=False),
        sa.ForeignKeyConstraint(["image_id"], ["images.id"], name=op.f("fk_duplicate_groups_image_id_images")),
        sa.PrimaryKeyConstraint("radius", "image_id", name=op.f("pk_duplicate_groups")),
    )
    op.create_index("ix_duplicate_groups_image_id", "duplicate_groups", ["image_id"])
    op.create_index("ix_duplicate_groups_radius_group_id", "duplicate_groups", ["radius", "group_id"])


def downgrade() -> None:
    tables = (
        "duplicate_groups",
        "unreadable",
        "exif",
        "sightings",
        "regions",
        "labels",
        "inspections",
        "runs",
        "images",
    )
    for table in (*tables, "datasets"):
        op.drop_table(table)
