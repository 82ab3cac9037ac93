"""Settings of datasets: limits, and where their bytes lie."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

S3Address = Annotated[str, Field(pattern=r"^s3://[a-z0-9][a-z0-9.-]{1,62}(/[^?#]*)?$")]
"""A bucket, or a prefix in it."""


class S3Settings(BaseModel):
    """Object store for datasets: S3, or a service that speaks its protocol."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    endpoint: str | None = None
    """Address of the service, such as ``http://minio:9000``. None: Amazon's."""
    region: str | None = None
    """None: the region of the credentials' environment."""
    credentials_file: Path | None = None
    """File with ``aws_access_key_id`` and ``aws_secret_access_key`` in its section ``[default]``. None: those of the platform's
    environment."""


class DatasetSettings(BaseModel):
    """Datasets (docs/guides/datasets.md)."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    max_bytes: Annotated[int, Field(gt=0)] = 10 * 1024**3
    """Largest version of a dataset."""
    max_files: Annotated[int, Field(gt=0, le=20_000)] = 10_000
    """Largest number of files in a version."""
    bytes_at: S3Address | None = None
    """Bucket and prefix for uploaded files, ``s3://…``. None: a folder of the state directory."""
    sources: tuple[S3Address, ...] = ()
    """Buckets and prefixes whose files may be registered. Folders of the machine are those of ``jobs.readable_paths``."""
    s3: S3Settings = S3Settings()
    """Access to the buckets of ``bytes_at`` and ``sources``."""
    cache_bytes: Annotated[int, Field(ge=0)] = 20 * 1024**3
    """Size limit of a node's copies. Beyond it the least recently used ones are removed, but none that a job uses."""
