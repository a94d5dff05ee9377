"""Tables of labels and of the data sets that were created from them."""

from datetime import datetime
from typing import Any

from sqlalchemy import Float, ForeignKey, Index, String, Text
from sqlalchemy.orm import Mapped, mapped_column

from lightmeter.harvest.catalogue.models.base import Base, IdType, utc_now


class Label(Base):
    """One annotation. Annotations are added and never changed, so that the history is complete.

    Attributes:
        origin: ``manual``, ``import``, ``rule`` or ``model``, in order of precedence; among equals the newest is
            effective.
        value: Class; None retracts the earlier annotations of the same author.
        number: Value in stops (or millimetres), if the target has one.
        version: Version of the rule or model.
    """

    __tablename__ = "labels"
    __table_args__ = (
        Index(None, "image_id", "target"),  # short: half the time of a label of many photographs
        # PostgreSQL stores equal keys once; which targets have labels is looked up, instead of reading all labels.
        Index("ix_labels_target", "target").ddl_if(dialect="postgresql"),
    )

    id: Mapped[int] = mapped_column(IdType, primary_key=True)
    image_id: Mapped[int] = mapped_column(ForeignKey("images.id"))
    target: Mapped[str] = mapped_column(String(64))
    value: Mapped[str | None] = mapped_column(Text)
    number: Mapped[float | None] = mapped_column(Float)
    origin: Mapped[str] = mapped_column(String(16))
    author: Mapped[str] = mapped_column(Text)
    version: Mapped[str | None] = mapped_column(String(64))
    confidence: Mapped[float | None] = mapped_column(Float)
    created_at: Mapped[datetime] = mapped_column(default=utc_now)


class DatasetRecord(Base):
    """A data set that was created from this catalogue."""

    __tablename__ = "datasets"

    id: Mapped[int] = mapped_column(IdType, primary_key=True)
    name: Mapped[str] = mapped_column(Text, index=True)
    path: Mapped[str] = mapped_column(Text)
    manifest_sha256: Mapped[str] = mapped_column(String(64))
    spec: Mapped[dict[str, Any]]
    created_at: Mapped[datetime] = mapped_column(default=utc_now)
