"""Schemas of ``/mlops/datasets``."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

PART_BYTES = 32 * 1024**2
"""Bytes of a file that the SDK sends in one request."""


class UploadedFile(BaseModel):
    """A file whose bytes have been sent."""

    model_config = ConfigDict(extra="forbid")

    path: Annotated[str, Field(max_length=4096, description="Its path in the dataset, with slashes.")]
    sha256: str


class DatasetRequest(BaseModel):
    """Body of ``POST /mlops/datasets``: ``files``, or ``uri``."""

    model_config = ConfigDict(extra="forbid")

    name: Annotated[str, Field(description="Name of the dataset: letters, digits, dots, dashes and underscores.")]
    files: Annotated[
        list[UploadedFile] | None, Field(description="Files that were sent to `PUT /mlops/datasets/files/{sha256}`.")
    ] = None
    folder: Annotated[
        bool | None, Field(description="A job gets the path of a folder. null: it does where there are several files.")
    ] = None
    uri: Annotated[
        str | None,
        Field(
            max_length=4096,
            description="Files that stay where they are: `s3://…` (setting `datasets.sources`), or an absolute path on the "
            "platform's machine (setting `jobs.readable_paths`).",
        ),
    ] = None


class FileUploadView(BaseModel):
    """State of a file's upload."""

    sha256: str
    have: Annotated[int, Field(description="Bytes that have come. The next part begins there.")]
    complete: bool


class FrequentValue(BaseModel):
    value: str
    count: int


class ColumnProfile(BaseModel):
    """A column of the profiled rows."""

    name: str
    type: Annotated[str, Field(description="As Arrow names it.")]
    missing: int
    min: Annotated[Any, Field(description="Of numbers and times.")] = None
    max: Any = None
    mean: float | None = None
    quantiles: Annotated[dict[str, float | None] | None, Field(description="Of numbers, by share.")] = None
    distinct: Annotated[int | None, Field(description="Different values of texts and booleans.")] = None
    top: Annotated[list[FrequentValue] | None, Field(description="The most frequent ones.")] = None


class DatasetUseView(BaseModel):
    """A job that got a version as data."""

    job_id: str
    alias: str
    version: int
    status: Literal["queued", "running", "completed", "failed", "cancelled"]
    created_at: datetime
    model_name: str | None
    model_version: Annotated[str | None, Field(description="Version of the model that the job registered.")]


class DatasetVersionSummary(BaseModel):
    """A version in a list."""

    name: str
    version: int
    reference: Annotated[str, Field(description="name@version, for `data` of an upload.")]
    digest: Annotated[
        str, Field(description="SHA-256 of the file; of a folder, that of the lines of `sha256sum`, sorted by path.")
    ]
    size_bytes: int
    file_count: int
    folder: bool
    format: Annotated[str | None, Field(description="parquet, csv or jsonl; null: no tables, or several formats.")]
    rows: Annotated[int | None, Field(description="null: not counted.")]
    column_count: int
    source: Annotated[str | None, Field(description="Registered address; null: its files were uploaded.")]
    job_id: Annotated[str | None, Field(description="Job whose output it is.")]
    created_at: datetime
    created_by: str
    links: dict[str, str]


class DatasetFileView(BaseModel):
    path: str
    sha256: str
    size_bytes: int


class DatasetVersionView(DatasetVersionSummary):
    """One version with its profile, its files, and the jobs that got it."""

    columns: list[ColumnProfile]
    profiled_rows: Annotated[int, Field(description="First rows, of which the statistics of the columns are.")]
    note: Annotated[str | None, Field(description="Sentence on what the profile lacks, and why.")]
    files: list[DatasetFileView]
    uses: Annotated[list[DatasetUseView], Field(description="Newest first, at most 100.")]


class DatasetSummary(BaseModel):
    name: str
    versions: Annotated[int, Field(description="Number of versions.")]
    newest: DatasetVersionSummary


class DatasetList(BaseModel):
    """By name."""

    datasets: list[DatasetSummary]


class DatasetView(BaseModel):
    """A dataset with its versions, newest first, and the newest jobs that got it."""

    name: str
    versions: list[DatasetVersionSummary]
    uses: list[DatasetUseView]
    links: dict[str, str]
