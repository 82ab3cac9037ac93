"""Schemas of ``/mlops/batches``."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from raylift.api.figures import Figure
from raylift.api.order.jobs import After
from raylift.api.resources import ResourceRequest

FileFormat = Literal["parquet", "csv", "jsonl"]
OnError = Literal["fail", "skip", "null"]

_INPUT = (
    "File, folder or pattern on the platform's machine (`/data/in/*.parquet`), or `s3://BUCKET/KEY`. Absent where files are "
    "uploaded, as parts `file` of a form."
)
_OUTPUT = (
    "File or folder there; a name without a known ending is a folder of parts. null: the platform keeps one file, for a "
    "download."
)
_COLUMNS = "Columns for the model, in this order. null: those that it knows by name, else all."
_KEEP = "Columns of the input to write beside the predictions. null: all. []: none."
_ON_ERROR = (
    "For a row that the model does not take. `fail`: the batch fails. `skip`: the row is left out. `null`: its prediction is "
    "null. Such rows and the reasons are in a file beside the output."
)


class BatchRequest(BaseModel):
    """Body of ``POST /mlops/batches``. As a form: the part ``batch`` with this as JSON, and parts ``file``."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)

    model_name: str
    model_version: Annotated[
        str | None,
        Field(description="`job:ID` is the version that a job registers. null, and no alias: the newest version that loads."),
    ] = None
    after: After = []
    alias: Annotated[str | None, Field(description="An MLflow alias. The batch keeps the version that it names now.")] = None
    input: Annotated[str | None, Field(description=_INPUT)] = None
    output: Annotated[str | None, Field(description=_OUTPUT)] = None
    input_format: Annotated[FileFormat | None, Field(description="null: by the names of the files.")] = None
    output_format: Annotated[FileFormat | None, Field(description="null: by the name of the output, else Parquet.")] = None
    columns: Annotated[list[str] | None, Field(min_length=1, description=_COLUMNS)] = None
    keep: Annotated[list[str] | None, Field(description=_KEEP)] = None
    return_probabilities: Annotated[bool, Field(description="Write a column for the probability of each class.")] = False
    on_error: Annotated[OnError, Field(description=_ON_ERROR)] = "fail"
    stamp: Annotated[bool, Field(description="Write the columns model_version and scored_at, too.")] = False
    params: Annotated[dict[str, Any], Field(description="Inference parameters of the model.")] = {}
    secrets: Annotated[list[str], Field(description="Secrets whose variables the batch gets, such as credentials for S3.")] = []
    resources: Annotated[
        ResourceRequest, Field(description="A process predicts for each whole CPU, each with the model in memory.")
    ] = ResourceRequest()
    timeout_seconds: Annotated[int, Field(description="Seconds for one attempt.")] = 86_400
    max_retries: Annotated[int, Field(ge=0, le=10, description="Retries after a failure. They go on where it was.")] = 0
    priority: Annotated[int, Field(ge=0, le=100, description="Higher first.")] = 50
    tags: dict[str, str] = {}


class BatchAccepted(BaseModel):
    """Answer to a request: the batch is committed to the store."""

    batch_id: Annotated[str, Field(description="Also the id of its job.")]
    status: str
    model_name: str
    model_version: str
    created_at: datetime
    message: str
    links: dict[str, str]


class BatchProgressView(BaseModel):
    """Progress, as the batch reports it every second."""

    phase: Literal["scoring", "writing"]
    rows: int
    rows_total: Annotated[int | None, Field(description="null: the format does not say it before the files are read.")]
    rejected: int
    parts: Annotated[int, Field(description="Finished parts of the output. They are not scored again.")]
    parts_total: int
    rows_per_second: Annotated[Figure | None, Field(description="Over the last minute.")]
    eta_seconds: Figure | None


class BatchResultView(BaseModel):
    """Result of a completed batch."""

    rows: int
    rows_written: int
    rejected: int
    files: int
    output: Annotated[str | None, Field(description="null: links.output has it.")]
    rejected_output: Annotated[str | None, Field(description="File of the rejected rows, where the output is elsewhere.")]


class BatchSummary(BaseModel):
    """A batch in a list."""

    batch_id: Annotated[str, Field(description="Also the id of its job.")]
    status: Literal["queued", "running", "completed", "failed", "cancelled"]
    reason: str | None
    message: str | None
    model_name: str
    model_version: str
    alias: Annotated[str | None, Field(description="The alias that named the version.")]
    input: Annotated[str | None, Field(description="null: uploaded files.")]
    output: str | None
    owner: str
    workspace: str
    attempt: int
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    duration_seconds: float | None
    progress: Annotated[BatchProgressView | None, Field(description="null before its first report, and after its end.")]
    result: BatchResultView | None
    links: dict[str, str]


class BatchView(BatchSummary):
    """``GET /mlops/batches/{batch_id}``."""

    uploads: list[str]
    input_format: FileFormat | None
    output_format: FileFormat
    columns: list[str] | None
    keep: list[str] | None
    return_probabilities: bool
    on_error: OnError
    stamp: bool
    params: dict[str, Any]
    secrets: list[str]
    tags: dict[str, str]
    timeout_seconds: int
    max_retries: int
    priority: int


class BatchPage(BaseModel):
    """Newest first. ``next_cursor`` is null on the last page."""

    batches: list[BatchSummary]
    next_cursor: str | None
