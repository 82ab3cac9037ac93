"""Tables of datasets, their versions and their files."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import BigInteger, ForeignKey, ForeignKeyConstraint, Index
from sqlalchemy.orm import Mapped, mapped_column

from raylift.domain.datasets.dataset import Profile
from raylift.store.engine.columns import JsonOf, Key
from raylift.store.engine.tables import Base


class DatasetRow(Base):
    """A dataset's name and its last number. Rows are never deleted, so numbers of versions never repeat."""

    __tablename__ = "datasets"

    workspace: Mapped[str] = mapped_column(Key, primary_key=True)
    name: Mapped[str] = mapped_column(Key, primary_key=True)
    last_version: Mapped[int]


class DatasetVersionRow(Base):
    __tablename__ = "dataset_versions"

    workspace: Mapped[str] = mapped_column(Key, primary_key=True)
    name: Mapped[str] = mapped_column(Key, primary_key=True)
    version: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    digest: Mapped[str] = mapped_column(Key)
    size_bytes: Mapped[int] = mapped_column(BigInteger)
    file_count: Mapped[int]
    is_folder: Mapped[bool]
    created_at: Mapped[datetime]
    created_by: Mapped[str]
    source: Mapped[str | None]
    job_id: Mapped[str | None] = mapped_column(Key)
    """No foreign key: the version outlives the job's row."""
    profile: Mapped[Profile] = mapped_column(JsonOf(Profile), nullable=False)

    __table_args__ = (
        ForeignKeyConstraint(["workspace", "name"], ["datasets.workspace", "datasets.name"]),
        Index(None, "workspace", "name", "digest", unique=True),
        Index(None, "job_id"),
    )


class DatasetFileRow(Base):
    """A file of a version."""

    __tablename__ = "dataset_files"

    workspace: Mapped[str] = mapped_column(Key, primary_key=True)
    name: Mapped[str] = mapped_column(Key, primary_key=True)
    version: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    path: Mapped[str] = mapped_column(Key, primary_key=True)
    sha256: Mapped[str] = mapped_column(Key)
    size_bytes: Mapped[int] = mapped_column(BigInteger)
    location: Mapped[str | None]

    __table_args__ = (
        ForeignKeyConstraint(
            ["workspace", "name", "version"],
            ["dataset_versions.workspace", "dataset_versions.name", "dataset_versions.version"],
            ondelete="CASCADE",
        ),
        Index(None, "workspace", "sha256"),
    )


class JobDataRow(Base):
    """A version of a dataset that a job gets. No foreign key to it: the job outlives the version."""

    __tablename__ = "job_data"

    job_id: Mapped[str] = mapped_column(Key, ForeignKey("jobs.job_id", ondelete="CASCADE"), primary_key=True)
    alias: Mapped[str] = mapped_column(Key, primary_key=True)
    workspace: Mapped[str] = mapped_column(Key)
    name: Mapped[str] = mapped_column(Key)
    version: Mapped[int]

    __table_args__ = (Index(None, "workspace", "name", "version", "job_id"),)
