"""Tables of photographs: files, EXIF, measures of filters, near-duplicates and regions."""

from datetime import datetime
from typing import Any

from sqlalchemy import JSON, BigInteger, Boolean, Float, ForeignKey, Index, Integer, String, Text
from sqlalchemy.orm import Mapped, mapped_column

from lightmeter.harvest.catalogue.models.base import Base, IdType, utc_now
from lightmeter.harvest.exif.columns import EXIF_COLUMNS


class Image(Base):
    """Bytes of a photograph, stored once per SHA-256.

    Attributes:
        format: Pillow's format name (JPEG, PNG, …).
        width: Width in stored pixels, before orientation is applied.
        height: Height in stored pixels.
        file_size: Size in bytes.
        problem: Why the image cannot be decoded completely, or None. Such images are excluded from data sets.
        body: Salted hash of the camera body's serial number, if EXIF has one.
        quantisation: Short hash of the JPEG quantisation tables, which identify software and quality setting.
    """

    __tablename__ = "images"

    id: Mapped[int] = mapped_column(IdType, primary_key=True)
    sha256: Mapped[str] = mapped_column(String(64), unique=True)
    format: Mapped[str] = mapped_column(String(16))
    width: Mapped[int]
    height: Mapped[int]
    file_size: Mapped[int] = mapped_column(BigInteger)
    problem: Mapped[str | None] = mapped_column(Text)
    body: Mapped[str | None] = mapped_column(String(64), default=None, index=True)
    quantisation: Mapped[str | None] = mapped_column(String(16))
    stored_at: Mapped[datetime] = mapped_column(default=utc_now)


class Exif(Base):
    """EXIF of one photograph from one origin; the columns of `EXIF_COLUMNS` are added below.

    Attributes:
        image_id: The image, for origin ``file``.
        sighting_id: The sighting, for the origins ``api`` and ``sidecar``.
        origin: One of `EXIF_PRECEDENCE`.
        raw: All tags as read, by IFD, without personal data.
    """

    __tablename__ = "exif"
    __table_args__ = (Index(None, "image_id", "origin"), Index(None, "sighting_id", "origin"))

    id: Mapped[int] = mapped_column(IdType, primary_key=True)
    image_id: Mapped[int | None] = mapped_column(ForeignKey("images.id"))
    sighting_id: Mapped[int | None] = mapped_column(ForeignKey("sightings.id"))
    origin: Mapped[str] = mapped_column(String(16))
    raw: Mapped[dict[str, Any]] = mapped_column(JSON, default=dict)


_SQL_TYPES = {str: Text, float: Float, bool: Boolean, int: Integer}
for _column in EXIF_COLUMNS.values():
    setattr(Exif, _column.name, mapped_column(_SQL_TYPES[_column.type], nullable=True))


class Inspection(Base):
    """Measures and verdict of one filter for an image."""

    __tablename__ = "inspections"
    __table_args__ = (Index(None, "image_id", "filter", unique=True), Index(None, "filter", "verdict"))

    id: Mapped[int] = mapped_column(IdType, primary_key=True)
    image_id: Mapped[int] = mapped_column(ForeignKey("images.id"))
    filter: Mapped[str] = mapped_column(String(64))
    version: Mapped[int]
    verdict: Mapped[str] = mapped_column(String(32))
    reason: Mapped[str | None] = mapped_column(Text)
    measures: Mapped[dict[str, Any]] = mapped_column(JSON, default=dict)


class DuplicateGroup(Base):
    """The group of near-duplicates that an image belongs to, within a radius; see `lightmeter.harvest.duplicates`.

    Attributes:
        radius: Maximum Hamming distance, in bits.
        phash: Perceptual hash by which it was grouped, as a signed number.
        group_id: Smallest image id in the group.
    """

    __tablename__ = "duplicate_groups"
    __table_args__ = (Index(None, "radius", "group_id"), Index(None, "image_id"))

    radius: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    image_id: Mapped[int] = mapped_column(IdType, ForeignKey("images.id"), primary_key=True, autoincrement=False)
    phash: Mapped[int] = mapped_column(BigInteger)
    group_id: Mapped[int] = mapped_column(IdType)


class Region(Base):
    """A box in an image, in stored pixels, such as a face or the inside of a frame."""

    __tablename__ = "regions"
    __table_args__ = (Index(None, "image_id", "kind"),)

    id: Mapped[int] = mapped_column(IdType, primary_key=True)
    image_id: Mapped[int] = mapped_column(ForeignKey("images.id"))
    kind: Mapped[str] = mapped_column(String(32))
    origin: Mapped[str] = mapped_column(String(64))
    x: Mapped[int]
    y: Mapped[int]
    width: Mapped[int]
    height: Mapped[int]
    orientation: Mapped[int] = mapped_column(default=1)
    score: Mapped[float | None] = mapped_column(Float)
    details: Mapped[dict[str, Any] | None] = mapped_column(JSON(none_as_null=True))
