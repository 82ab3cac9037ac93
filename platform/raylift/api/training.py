"""Schemas of ``/mlops/training``."""

from __future__ import annotations

import re
from datetime import datetime
from typing import Annotated, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

from raylift.api.figures import Figure
from raylift.api.order.jobs import After, DatasetReferenceView, OrderedJob
from raylift.api.resources import RerunResources, ResourceRequest, ResourceView
from raylift.api.rollouts.gates import PromoteRequest, PromotionView
from raylift.api.sweeps import SweepRequest, Value
from raylift.domain.identifiers import DEFAULT_WORKSPACE, MODEL_NAME, TORCH_BACKEND

_SCRIPT_NAME: Final = re.compile(r"[^/\\\x00-\x1f\x7f]+\.(py|ipynb)")


Isolation = Annotated[
    Literal["sandbox", "cluster"],
    Field(
        description="`sandbox`: the script reaches its own work, its data and MLflow. `cluster`: it may use Ray and everything "
        "that the platform's user may.",
    ),
]
Network = Annotated[
    Literal["full", "mlflow-only", "none"],
    Field(description="Network of a sandboxed script. `full`: all but the platform's own ports."),
]
TorchBackend = Annotated[
    str,
    Field(
        pattern=TORCH_BACKEND.pattern,
        description="Build of PyTorch: `cpu`, `cu128`, … from PyTorch's own index, or `auto` for that of the platform's "
        "package index. null: the platform's setting.",
        examples=["cpu", "cu128", "auto"],
    ),
]


class DownloadProgress(BaseModel):
    """Progress of an environment's downloads, without cached files."""

    downloaded: Annotated[int, Field(description="Bytes.")]
    size: Annotated[int, Field(description="Bytes of all packages whose download has begun.")]


class TrainingUpload(BaseModel):
    """Body of ``POST /mlops/training/upload`` as JSON. The service checks limits from the settings."""

    model_config = ConfigDict(extra="forbid")

    script_content: Annotated[str, Field(description="The Python source, or its base64 with script_encoding=base64.")]
    script_encoding: Literal["plain", "base64"] = "plain"
    script_name: Annotated[
        str, Field(max_length=255, description="A bare file name ending in .py, or in .ipynb for a notebook.")
    ] = "train.py"
    entrypoint: Annotated[
        str | None, Field(max_length=1024, description="Path of the script in the project; in form uploads only.")
    ] = None
    experiment_name: Annotated[str, Field(min_length=1, max_length=500, description="MLflow experiment, created if absent.")]
    model_name: Annotated[
        str | None, Field(description="Registered model for the new version. null: nothing is registered.")
    ] = None
    requirements: Annotated[list[str], Field(description="PEP 508 requirements.")] = []
    torch_backend: TorchBackend | None = None
    environment: Annotated[dict[str, str], Field(description="Environment variables of the script.")] = {}
    secrets: Annotated[
        list[str],
        Field(description="Names of secrets whose variables the script gets. Variables in environment have precedence."),
    ] = []
    data: Annotated[
        dict[str, str],
        Field(
            description="Datasets by alias: `churn-train@3`, `churn-train` for the newest version now, or `job:ID` for what a "
            "job makes. The local path of `train` is in the variable RAYLIFT_DATA_TRAIN.",
            examples=[{"train": "churn-train@3"}],
        ),
    ] = {}
    after: After = []
    output_dataset: Annotated[
        str | None,
        Field(description="Dataset that gets a version of the files which the script writes to the folder RAYLIFT_OUTPUT."),
    ] = None
    args: Annotated[list[str], Field(description="The script's sys.argv[1:].")] = []
    timeout_seconds: Annotated[int, Field(description="Seconds the script may run; 60 to 3600 by default.")] = 600
    resources: ResourceRequest = ResourceRequest()
    max_retries: Annotated[int, Field(ge=0, le=10, description="Number of retries after a failure of the script.")] = 0
    priority: Annotated[int, Field(ge=0, le=100, description="Higher first.")] = 50
    autolog: Annotated[bool, Field(description="Call mlflow.autolog() for the script.")] = True
    deploy: Annotated[bool, Field(description="Deploy the registered version.")] = True
    registers: Annotated[
        str | None,
        Field(
            alias="register",
            min_length=1,
            max_length=500,
            description="Selects the logged model to register: by its name, its class, or its run's id or name.",
        ),
    ] = None
    take_traffic: Annotated[
        bool, Field(description="Let the version answer requests that name only the model. A traffic table has precedence.")
    ] = True
    isolation: Annotated[Isolation | None, Field(description="null: `sandbox`; for a job with workers `cluster`.")] = None
    promote: Annotated[
        PromoteRequest | None,
        Field(description="Gate: the version holds back, and gets an alias if its metrics are good enough."),
    ] = None
    network: Annotated[Network | None, Field(description="null: the platform's setting.")] = None
    params: Annotated[
        dict[str, Value],
        Field(description="Parameters without secrets: visible environment variables of the script, and MLflow params."),
    ] = {}
    tags: Annotated[dict[str, str], Field(description="Copied to the job, its runs and the version.")] = {}
    sweep: Annotated[SweepRequest | None, Field(description="Turns it into a job for each combination of parameters.")] = None

    @field_validator("script_name")
    @classmethod
    def _is_a_script_name(cls, value: str) -> str:
        if not _SCRIPT_NAME.fullmatch(value):
            raise ValueError("must be a bare file name ending in .py or .ipynb")
        return value

    @field_validator("model_name")
    @classmethod
    def _is_a_model_name(cls, value: str | None) -> str | None:
        if value is not None and not MODEL_NAME.fullmatch(value):
            raise ValueError(
                f"{value!r} cannot be a model's name: use 1 to 128 letters, digits, dots, dashes and underscores, "
                "beginning and ending with a letter or digit"
            )
        return value


class RerunRequest(BaseModel):
    """Body of ``POST …/rerun``; optional. Omitted fields are those of the first job."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)

    args: Annotated[list[str] | None, Field(description="Replaces all arguments.")] = None
    environment: Annotated[dict[str, str], Field(description="Variables to set; the others stay.")] = {}
    secrets: Annotated[list[str] | None, Field(description="Replaces all secrets.")] = None
    params: Annotated[dict[str, Value], Field(description="Parameters to set; the others stay.")] = {}
    data: Annotated[
        dict[str, str],
        Field(description="Datasets to set by alias, as in an upload; the others stay.", examples=[{"train": "churn-train@4"}]),
    ] = {}
    resources: RerunResources = RerunResources()
    deploy: Annotated[bool | None, Field(description="Deploy the registered version.")] = None
    after: After = []
    isolation: Isolation | None = None
    network: Network | None = None
    take_traffic: Annotated[
        bool,
        Field(description="Let the version answer requests that name only the model, instead of the present version."),
    ] = False
    output: Annotated[str | None, Field(description="Of a batch: another place for its output.")] = None


class JobAccepted(BaseModel):
    """Answer to an upload: the job is committed to the store."""

    job_id: str
    status: str
    created_at: datetime
    message: str
    notes: Annotated[
        list[str], Field(description="Deviations from the upload's own values, and warnings about its script.")
    ] = []
    links: dict[str, str]


class UploadCheck(BaseModel):
    """Answer to an upload with ``dry_run=true``: what would happen. Nothing is stored."""

    script_name: str
    entrypoint: str | None
    experiment_name: str
    model_name: str | None
    owner: str
    workspace: str
    requirements: list[str]
    requirements_source: Annotated[str | None, Field(description="Request, script metadata, or a file of the project.")]
    resources: ResourceView
    timeout_seconds: int
    isolation: Isolation
    network: Network
    data: Annotated[dict[str, str], Field(description="Its datasets by alias: `name@3`, or `job:ID`.")] = {}
    after: Annotated[list[str], Field(description="Jobs that have to complete before it.")] = []
    output_dataset: Annotated[str | None, Field(description="Dataset that gets a version of its files.")] = None
    jobs: Annotated[int, Field(description="Number of jobs that it would make: of a sweep, one for each combination.")]
    nodes: Annotated[list[str], Field(description="Names of the nodes that could hold one job; empty while none is known.")]
    queue_position: Annotated[int, Field(description="Place of the first job by priority and age, from 1.")]
    waits_for: Annotated[str | None, Field(description="What the first job would wait for; null: it would start at once.")]
    notes: Annotated[list[str], Field(description="Deviations from the upload's own values, and warnings about its script.")]


NO_RESOURCES: Final = ResourceView(cpus=0, memory=0, gpus=0)
"""In lists of a platform that does not tell them, which a newer client also reads."""


class UsageView(BaseModel):
    """Resources that the last attempt consumed, over its whole process tree."""

    cpu_seconds: Figure
    peak_memory_bytes: int
    wall_seconds: Figure
    memory_enforced_by: Literal["cgroup", "watchdog"] | None
    cpu_enforced_by: Annotated[
        Literal["cgroup", "affinity"] | None, Field(description="null: it could use every core, with limited thread pools.")
    ] = None
    isolated_by: Annotated[list[str], Field(description="Mechanisms that confined the script; empty: nothing did.")] = []


class LiveUsageView(BaseModel):
    """Present usage of a running script, over its whole process tree."""

    at: Annotated[datetime, Field(description="Time of the measurement, at most two seconds old.")]
    cpus: Annotated[Figure, Field(description="CPUs in use in the last two seconds.")]
    cpu_seconds: Figure
    memory_bytes: int
    processes: int


class JobSummary(BaseModel):
    """A job in a list."""

    job_id: str
    status: Literal["queued", "running", "completed", "failed", "cancelled"]
    reason: str | None
    message: str | None
    experiment_name: str
    model_name: str | None
    model_version: str | None
    mlflow_experiment_id: str | None
    mlflow_run_id: str | None
    script_name: str
    priority: int
    owner: Annotated[str, Field(description="Name of the key that uploaded it; in local mode X-Raylift-Owner.")]
    workspace: Annotated[str, Field(description="The workspace that sees it.")] = DEFAULT_WORKSPACE
    tags: dict[str, str]
    sweep_id: Annotated[str | None, Field(description="Its sweep.")] = None
    sweep_parameters: Annotated[dict[str, str] | None, Field(description="Its parameters in the sweep.")] = None
    schedule: Annotated[str | None, Field(description="Name of the schedule that made it.")] = None
    kind: Annotated[
        Literal["train", "batch"], Field(description="batch: it predicts for files; `/mlops/batches/{job_id}` shows it.")
    ] = "train"
    attempt: int
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    duration_seconds: Annotated[float | None, Field(description="Script start to end; up to now while it runs.")]
    phase: Annotated[
        str, Field(description="The finer state: queued, environment, starting, script, registration, or the status.")
    ] = ""
    resources: Annotated[ResourceView, Field(description="What it asks for.")] = NO_RESOURCES
    queue_position: Annotated[
        int | None,
        Field(
            description="Position by priority and age, from 1; null after admission, and in lists beyond 1000. Fair share may "
            "differ."
        ),
    ] = None
    metrics: Annotated[
        dict[str, Figure],
        Field(description="In lists three of them, those of held-out data first; null is NaN. `GET …/{job_id}` has them all."),
    ] = {}
    links: dict[str, str]


class JobDataView(BaseModel):
    """A version of a dataset that a job gets."""

    alias: str
    name: str
    version: Annotated[int | None, Field(description="null: the job of_job has yet to make it.")]
    digest: Annotated[str, Field(description="SHA-256 of its content.")]
    of_job: Annotated[str | None, Field(description="Job that makes it.")] = None
    links: dict[str, str]


class JobView(JobSummary):
    """``GET /mlops/training/jobs/{job_id}``."""

    model_config = ConfigDict(populate_by_name=True)

    script_sha256: str
    project_sha256: Annotated[str | None, Field(description="Of the project's archive; null for a single script.")] = None
    entrypoint: Annotated[str | None, Field(description="The script's path in the project.")] = None
    command: Annotated[str | None, Field(description="Shell command of a job of Ray's Jobs API, instead of a script.")] = None
    requirements: list[str]
    requirements_source: Annotated[
        str | None, Field(description="Source: request, script metadata, or a file of the project.")
    ] = None
    torch_backend: Annotated[str | None, Field(description="PyTorch build of the upload.")] = None
    environment_lock: Annotated[list[str] | None, Field(description="Pinned packages beyond the base environment.")]
    environment_progress: Annotated[
        DownloadProgress | None, Field(description="During the download and build of its environment.")
    ] = None
    environment_note: Annotated[str | None, Field(description="Hint about the downloads.")] = None
    environment: Annotated[dict[str, str], Field(description="Names of the variables; values are masked.")]
    secrets: Annotated[list[str], Field(description="Names of its secrets.")] = []
    data: Annotated[list[JobDataView], Field(description="Its datasets, as they were at its upload.")] = []
    after: Annotated[list[OrderedJob], Field(description="Jobs directly before it.")] = []
    followed_by: Annotated[list[OrderedJob], Field(description="Jobs directly after it.")] = []
    output_dataset: Annotated[str | None, Field(description="Dataset that gets a version of its files.")] = None
    output: Annotated[DatasetReferenceView | None, Field(description="The version that it has made.")] = None
    args: list[str]
    params: Annotated[dict[str, str], Field(description="Parameters without secrets.")] = {}
    timeout_seconds: int
    max_retries: int
    autolog: bool
    deploy: bool
    registers: Annotated[
        str | None, Field(alias="register", description="Selection of the model by the upload: name, class or run.")
    ] = None
    take_traffic: Annotated[bool, Field(description="Its version may answer requests that name only the model.")] = True
    promotion: Annotated[PromotionView | None, Field(description="Its gate, and what became of it; null: it has none.")] = None
    isolation: Isolation = "sandbox"
    network: Network = "full"
    phases: Annotated[dict[str, Figure], Field(description="Seconds spent in each phase.")]
    usage: Annotated[
        UsageView | None,
        Field(description="Of the last attempt; null where its wrapper was killed before it could write it."),
    ]
    live_usage: Annotated[LiveUsageView | None, Field(description="null where its script does not run.")] = None
    logs: Annotated[str, Field(description="The last 64 KiB of output.")]
    exit_code: int | None
    ray_submission_id: str | None


class JobPage(BaseModel):
    """Newest first. ``next_cursor`` is null on the last page."""

    jobs: list[JobSummary]
    next_cursor: str | None


class EventView(BaseModel):
    """One transition of a job."""

    at: datetime
    before: str | None
    after: str
    status: str
    attempt: int
    reason: str | None
    message: str | None
    who: Annotated[str | None, Field(description="Caller that uploaded or cancelled the job; null: the platform.")] = None


class EventList(BaseModel):
    job_id: str
    events: list[EventView]


class AttemptView(BaseModel):
    """One submission of a job to Ray."""

    number: Annotated[int, Field(description="From 1.")]
    ray_submission_id: str
    created_at: datetime
    started_at: Annotated[datetime | None, Field(description="Start of the script.")]
    finished_at: datetime | None
    exit_code: int | None
    reason: Annotated[str | None, Field(description="Reason of its failure.")]
    message: str | None
    usage: UsageView | None


class AttemptList(BaseModel):
    job_id: str
    attempts: Annotated[list[AttemptView], Field(description="Oldest first.")]
