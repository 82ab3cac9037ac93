"""Wire schemas of ``/mlops/training``."""

from __future__ import annotations

import re
from datetime import datetime
from typing import Annotated, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

from raylift.api.amounts import check_amount
from raylift.api.figures import Figure
from raylift.api.sweeps import SweepRequest, Value
from raylift.domain.identifiers import MODEL_NAME, TORCH_BACKEND

_SCRIPT_NAME: Final = re.compile(r"[^/\\\x00-\x1f\x7f]+\.(py|ipynb)")


TorchBackend = Annotated[
    str,
    Field(
        pattern=TORCH_BACKEND.pattern,
        description="Which build of PyTorch: `cpu`, `cu128`, … from PyTorch's own index, or `auto`, which leaves it to the "
        "platform's package index. null: as the platform's settings say.",
        examples=["cpu", "cu128", "auto"],
    ),
]


class DownloadProgress(BaseModel):
    """Progress of an environment's downloads. Files that were downloaded before count in neither number."""

    downloaded: Annotated[int, Field(description="Bytes.")]
    size: Annotated[int, Field(description="Bytes of all packages whose download has begun: soon all that there are.")]


class ResourceRequest(BaseModel):
    """What a job asks for; also its limit."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)

    cpus: Annotated[float, Field(ge=0.1, le=1_000_000, description="Logical CPUs, fractions allowed.")] = 1.0
    memory: Annotated[int | str, Field(description='Bytes, or a string such as "2GiB", "512MiB", "1.5G".')] = "2GiB"
    gpus: Annotated[float, Field(ge=0, le=1_000_000)] = 0.0

    @field_validator("memory")
    @classmethod
    def _is_an_amount(cls, value: int | str) -> int | str:
        check_amount(value)
        return value


class TrainingUpload(BaseModel):
    """Body of ``POST /mlops/training/upload`` as JSON. Bounds that are settings are checked by the service."""

    model_config = ConfigDict(extra="forbid")

    script_content: Annotated[str, Field(description="The Python source, or its base64 with script_encoding=base64.")]
    script_encoding: Literal["plain", "base64"] = "plain"
    script_name: Annotated[
        str, Field(max_length=255, description="A bare file name ending in .py, or in .ipynb for a notebook.")
    ] = "train.py"
    entrypoint: Annotated[
        str | None, Field(max_length=1024, description="With a project, hence in a form only: the script's path in it.")
    ] = None
    experiment_name: Annotated[str, Field(min_length=1, max_length=500, description="MLflow experiment, made if absent.")]
    model_name: Annotated[
        str | None, Field(description="Registered model to add a version to; null runs the script and registers nothing.")
    ] = None
    requirements: Annotated[list[str], Field(description="PEP 508 requirements.")] = []
    torch_backend: TorchBackend | None = None
    environment: Annotated[dict[str, str], Field(description="Environment variables of the script.")] = {}
    args: Annotated[list[str], Field(description="The script's sys.argv[1:].")] = []
    timeout_seconds: Annotated[int, Field(description="Seconds the script may run; 60 to 3600 by default.")] = 600
    resources: ResourceRequest = ResourceRequest()
    max_retries: Annotated[int, Field(ge=0, le=10, description="Times to run again when the script itself fails.")] = 0
    priority: Annotated[int, Field(ge=0, le=100, description="Higher first.")] = 50
    autolog: Annotated[bool, Field(description="Call mlflow.autolog() for the script.")] = True
    deploy: Annotated[bool, Field(description="Deploy the registered version.")] = True
    registers: Annotated[
        str | None,
        Field(
            alias="register",
            min_length=1,
            max_length=500,
            description="Which of the models that the script logs is registered: its name, its class, or its run's id or name.",
        ),
    ] = None
    take_traffic: Annotated[
        bool, Field(description="Let the version answer requests that name only the model. A traffic table goes before this.")
    ] = True
    params: Annotated[
        dict[str, Value],
        Field(description="Parameters that are no secrets: environment variables of the script, shown, and MLflow params."),
    ] = {}
    tags: Annotated[dict[str, str], Field(description="Copied to the job, its runs and the version.")] = {}
    sweep: Annotated[SweepRequest | None, Field(description="Makes it a job for each combination of parameters.")] = None

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


class RerunResources(BaseModel):
    """Resources of a rerun. What is left out is as it was."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)

    cpus: Annotated[float | None, Field(ge=0.1, le=1_000_000)] = None
    memory: int | str | None = None
    gpus: Annotated[float | None, Field(ge=0, le=1_000_000)] = None

    @field_validator("memory")
    @classmethod
    def _is_an_amount(cls, value: int | str | None) -> int | str | None:
        if value is not None:
            check_amount(value)
        return value


class RerunRequest(BaseModel):
    """Body of ``POST …/rerun``; may be left out. What is left out is as in the first job."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)

    args: Annotated[list[str] | None, Field(description="Replaces all arguments.")] = None
    environment: Annotated[dict[str, str], Field(description="Variables to set; the others stay.")] = {}
    params: Annotated[dict[str, Value], Field(description="Parameters to set; the others stay.")] = {}
    resources: RerunResources = RerunResources()
    deploy: Annotated[bool | None, Field(description="Deploy the registered version.")] = None
    take_traffic: Annotated[
        bool,
        Field(description="Let the version answer requests that name only the model. Otherwise the present version goes on."),
    ] = False


class JobAccepted(BaseModel):
    """Answer to an upload: the job is committed to the store."""

    job_id: str
    status: str
    created_at: datetime
    message: str
    notes: Annotated[list[str], Field(description="What was done otherwise than the upload says.")] = []
    links: dict[str, str]


class ResourceView(BaseModel):
    cpus: Figure
    memory: Annotated[int, Field(description="Bytes.")]
    gpus: Figure


class UsageView(BaseModel):
    """What the last attempt consumed, over its whole process tree."""

    cpu_seconds: Figure
    peak_memory_bytes: int
    wall_seconds: Figure
    memory_enforced_by: Literal["cgroup", "watchdog"] | None
    cpu_enforced_by: Annotated[
        Literal["cgroup", "affinity"] | None, Field(description="null: it could use every core; its thread pools were bounded.")
    ] = None


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
    owner: Annotated[str, Field(description="For whom it runs, as the upload's X-Raylift-Owner said.")]
    tags: dict[str, str]
    sweep_id: Annotated[str | None, Field(description="The sweep that made it.")] = None
    sweep_parameters: Annotated[dict[str, str] | None, Field(description="The values of the sweep that are its own.")] = None
    attempt: int
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    duration_seconds: Annotated[float | None, Field(description="Script start to end; up to now while it runs.")]
    links: dict[str, str]


class JobView(JobSummary):
    """``GET /mlops/training/jobs/{job_id}``."""

    model_config = ConfigDict(populate_by_name=True)

    phase: Annotated[
        str, Field(description="The finer state: queued, environment, starting, script, registration, or the status.")
    ]
    queue_position: Annotated[
        int | None, Field(description="Place by priority and age, from 1; null once admitted. Fair share may change it.")
    ] = None
    metrics: Annotated[dict[str, Figure], Field(description="null is NaN.")]
    script_sha256: str
    project_sha256: Annotated[str | None, Field(description="Of the project's canonical tar; null for a single script.")] = None
    entrypoint: Annotated[str | None, Field(description="The script's path in the project.")] = None
    command: Annotated[str | None, Field(description="Of a job of Ray's Jobs API: what a shell runs, not a script.")] = None
    requirements: list[str]
    requirements_source: Annotated[
        str | None, Field(description="Where they come from: request, script metadata, or a file of the project.")
    ] = None
    torch_backend: Annotated[str | None, Field(description="The build of PyTorch that the upload asked for.")] = None
    environment_lock: Annotated[list[str] | None, Field(description="Pinned packages beyond the base environment.")]
    environment_progress: Annotated[
        DownloadProgress | None, Field(description="While its environment is downloaded and built.")
    ] = None
    environment_note: Annotated[str | None, Field(description="A word about what is being downloaded for it.")] = None
    environment: Annotated[dict[str, str], Field(description="Names of the variables; values are masked.")]
    args: list[str]
    params: Annotated[dict[str, str], Field(description="Parameters that are no secrets.")] = {}
    resources: ResourceView
    timeout_seconds: int
    max_retries: int
    autolog: bool
    deploy: bool
    registers: Annotated[
        str | None, Field(alias="register", description="The model that the upload chose, by name, class or run.")
    ] = None
    take_traffic: Annotated[bool, Field(description="Its version may answer requests that name only the model.")] = True
    phases: Annotated[dict[str, Figure], Field(description="Seconds spent in each phase.")]
    usage: Annotated[
        UsageView | None,
        Field(description="Of the last attempt alone; null where its wrapper was killed or lost and could not write it."),
    ]
    logs: Annotated[str, Field(description="The last 64 KiB of output.")]
    exit_code: int | None
    ray_submission_id: str | None


class JobPage(BaseModel):
    """Newest first. ``next_cursor`` is null on the last page."""

    jobs: list[JobSummary]
    next_cursor: str | None


class EventView(BaseModel):
    """One transition."""

    at: datetime
    before: str | None
    after: str
    status: str
    attempt: int
    reason: str | None
    message: str | None


class EventList(BaseModel):
    job_id: str
    events: list[EventView]
