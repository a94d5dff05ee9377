"""Tables of harvest runs: what was seen at sources, who downloads it, and what was removed."""

import enum
import hashlib
from datetime import datetime
from typing import Any

from sqlalchemy import JSON, Double, Float, ForeignKey, Index, String, Text, text
from sqlalchemy.orm import Mapped, mapped_column

from lightmeter.harvest.catalogue.models.base import Base, IdType, text_enum, utc_now


class RunState(enum.StrEnum):
    """State of a harvest run.

    ``discovered``: the source has no more photographs, but workers have not downloaded all of them.
    """

    RUNNING = "running"
    DISCOVERED = "discovered"
    FINISHED = "finished"
    STOPPED = "stopped"
    FAILED = "failed"


class HarvestRun(Base):
    """One ``harvest run`` of a source.

    Attributes:
        query: Query of the source.
        options: Engine options (limit, required EXIF columns, …), reused by ``resume``.
        cursor: Last checkpoint of the source; all sightings before it are in the catalogue.
        new: Number of sightings that this run added.
        existing: Number of discovered items that the catalogue had already, from an earlier run or listed
            before, or that were removed.
        process: Identity of the process that works on the run; None if none does.
        heartbeat_at: When that process last confirmed that it works on the run, by the clock of the database.
    """

    __tablename__ = "runs"

    id: Mapped[int] = mapped_column(IdType, primary_key=True)
    source: Mapped[str] = mapped_column(String(64))
    query: Mapped[dict[str, Any]]
    options: Mapped[dict[str, Any]]
    state: Mapped[RunState] = mapped_column(text_enum(RunState), default=RunState.RUNNING)
    reason: Mapped[str | None] = mapped_column(Text)
    cursor: Mapped[dict[str, Any] | None] = mapped_column(JSON(none_as_null=True))
    new: Mapped[int] = mapped_column(default=0)
    existing: Mapped[int] = mapped_column(default=0)
    process: Mapped[str | None] = mapped_column(Text)
    heartbeat_at: Mapped[datetime | None]
    started_at: Mapped[datetime] = mapped_column(default=utc_now)
    ended_at: Mapped[datetime | None]


class SightingState(enum.StrEnum):
    """State of a sighting."""

    FOUND = "found"
    FETCHED = "fetched"
    SKIPPED = "skipped"
    REFUSED = "refused"
    GONE = "gone"
    FAILED = "failed"


_PENDING = text("state = 'found'")
_LEASED = text("worker IS NOT NULL")


class SightingRecord(Base):
    """A photograph seen at a source.

    Attributes:
        file: File name at the source.
        owner: Photographer or uploader; photographs of one owner are always in the same split.
        medium: ``film`` or ``digital`` if the source or the query declares it.
        concepts: Search terms or names of class folders.
        reason: Why the sighting is in its state: a short term, then details after a colon.
        host: Host that the photograph is downloaded from, as workers lease it; empty for files and archives.
        worker: Id of the worker that has leased the pending photograph.
        lease_until: When that lease expires, by the clock of the database.
        attempts: Number of finished downloads.
        image_id: The downloaded image, also if it is damaged.
        file_version: Version of the downloaded file as the source names it; None if it must be compared anew.
        edited: Names of the columns that a person has edited; a source no longer changes them.
        updated_run_id: Last run that updated a known sighting.
    """

    __tablename__ = "sightings"
    __table_args__ = (
        Index(None, "source_id", "source", unique=True),
        Index(None, "run_id", "state", "id"),
        Index(None, "state", "reason", "run_id"),
        Index(None, "media_url", postgresql_using="hash"),  # URLs are longer than PostgreSQL's B-trees allow
        # SQLite has no such index: programs without the function could no longer change the table.
        Index("ix_sightings_owner", text("name_key(owner)")).ddl_if(dialect="postgresql"),
        Index(None, "run_id", "host", "id", sqlite_where=_PENDING, postgresql_where=_PENDING),
        Index(None, "worker", sqlite_where=_LEASED, postgresql_where=_LEASED),
    )

    id: Mapped[int] = mapped_column(IdType, primary_key=True)
    run_id: Mapped[int] = mapped_column(ForeignKey("runs.id"))
    source: Mapped[str] = mapped_column(String(64))
    source_id: Mapped[str] = mapped_column(Text)
    media_url: Mapped[str | None] = mapped_column(Text, default=None)
    page_url: Mapped[str | None] = mapped_column(Text)
    file: Mapped[str | None] = mapped_column(Text, default=None, index=True)
    owner: Mapped[str | None] = mapped_column(Text, default=None)
    licence: Mapped[str | None] = mapped_column(String(64))
    attribution: Mapped[str | None] = mapped_column(Text)
    title: Mapped[str | None] = mapped_column(Text)
    tags: Mapped[list[str] | None] = mapped_column(JSON(none_as_null=True))
    medium: Mapped[str | None] = mapped_column(String(16))
    concepts: Mapped[list[str] | None] = mapped_column(JSON(none_as_null=True))
    published_at: Mapped[datetime | None]
    source_metadata: Mapped[dict[str, Any] | None] = mapped_column(JSON(none_as_null=True))
    state: Mapped[SightingState] = mapped_column(text_enum(SightingState), default=SightingState.FOUND)
    reason: Mapped[str | None] = mapped_column(Text)
    host: Mapped[str | None] = mapped_column(Text, default=None)
    worker: Mapped[str | None] = mapped_column(Text, default=None)
    lease_until: Mapped[datetime | None] = mapped_column(default=None)
    attempts: Mapped[int] = mapped_column(default=0)
    image_id: Mapped[int | None] = mapped_column(ForeignKey("images.id"), default=None, index=True)
    file_version: Mapped[str | None] = mapped_column(Text)
    edited: Mapped[list[str] | None] = mapped_column(JSON(none_as_null=True))
    updated_run_id: Mapped[int | None] = mapped_column(IdType, default=None, index=True)
    found_at: Mapped[datetime] = mapped_column(default=utc_now)
    changed_at: Mapped[datetime] = mapped_column(default=utc_now, onupdate=utc_now)


class WorkerRecord(Base):
    """A process that downloads photographs.

    Attributes:
        id: Identity of the process, with a number if it has lost its leases before.
        process: Identity of the process.
        lease_until: When all its leases expire, unless it renews them, by the clock of the database.
        finished: Number of photographs that have got a state.
        rate: Photographs per second since the renewal before.
    """

    __tablename__ = "workers"

    id: Mapped[str] = mapped_column(Text, primary_key=True)
    process: Mapped[str] = mapped_column(Text)
    lease_until: Mapped[datetime]
    heartbeat_at: Mapped[datetime]
    started_at: Mapped[datetime]
    finished: Mapped[int] = mapped_column(default=0)
    rate: Mapped[float] = mapped_column(Float, default=0.0)


class HostRecord(Base):
    """A host that photographs are downloaded from; one worker at a time sends it requests.

    Attributes:
        worker: Id of the worker that has leased the host.
        lease_until: When that lease expires.
        not_before: When the pause ends that the host asked for, or that lies between two requests.
    """

    __tablename__ = "hosts"

    host: Mapped[str] = mapped_column(Text, primary_key=True)
    worker: Mapped[str | None] = mapped_column(Text, default=None, index=True)
    lease_until: Mapped[datetime | None] = mapped_column(default=None)
    not_before: Mapped[datetime | None] = mapped_column(default=None)


class RateLimitRecord(Base):
    """The requests that a service allows.

    Attributes:
        due: When the next request is due at an even pace, in seconds since the epoch.
    """

    __tablename__ = "rate_limits"

    service: Mapped[str] = mapped_column(String(64), primary_key=True)
    due: Mapped[float] = mapped_column(Double)


class UnreadableRecord(Base):
    """Something at a source that a run could not read: a folder, a page, a record of a list.

    Attributes:
        location: A path, a URL, or a file with a line number.
        reason: Why it cannot be read.
    """

    __tablename__ = "unreadable"
    __table_args__ = (Index(None, "run_id", "location", unique=True),)

    id: Mapped[int] = mapped_column(IdType, primary_key=True)
    run_id: Mapped[int] = mapped_column(ForeignKey("runs.id"))
    location: Mapped[str] = mapped_column(Text)
    reason: Mapped[str] = mapped_column(Text)


class Tombstone(Base):
    """A photograph that was removed from the project and must not come back.

    There is one row for each sighting of a removed photograph, or one for a photograph without sightings. It holds
    hashes only, so that nothing can be learned from it about the photograph.

    Attributes:
        sha256: SHA-256 of the file.
        sighting_key: `sighting_key` of the sighting.
        url_key: `url_key` of the media URL.
    """

    __tablename__ = "tombstones"

    id: Mapped[int] = mapped_column(IdType, primary_key=True)
    sha256: Mapped[str] = mapped_column(String(64), index=True)
    sighting_key: Mapped[str | None] = mapped_column(String(64), default=None, index=True)
    url_key: Mapped[str | None] = mapped_column(String(64), default=None, index=True)
    removed_at: Mapped[datetime] = mapped_column(default=utc_now)


def sighting_key(source: str, source_id: str) -> str:
    """Return a hash of the identity of a sighting."""
    return hashlib.sha256(f"{source}\0{source_id}".encode()).hexdigest()


def url_key(media_url: str) -> str:
    """Return a hash of a media URL."""
    return hashlib.sha256(media_url.encode()).hexdigest()
