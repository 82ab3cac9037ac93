"""Schemas of Ray's Jobs API (``/api/jobs``) as in Ray 2.60, for Ray's own clients."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field


class VersionResponse(BaseModel):
    """``GET /api/version``."""

    version: Annotated[str, Field(description="Version of the Jobs API.")]
    ray_version: str
    ray_commit: str
    session_name: str


class JobSubmitRequest(BaseModel):
    """Body of ``POST /api/jobs/``."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)

    entrypoint: Annotated[str, Field(min_length=1, description="The command; `python script.py` becomes a script job.")]
    submission_id: str | None = None
    job_id: Annotated[str | None, Field(description="Ray's former name of submission_id.")] = None
    runtime_env: Annotated[
        dict[str, Any] | None, Field(description="working_dir, py_modules, pip or uv, env_vars, excludes, config.")
    ] = None
    metadata: Annotated[
        dict[str, str] | None,
        Field(description="Stored and returned; keys that begin with raylift. are options (docs/guides/ray_jobs.md)."),
    ] = None
    entrypoint_num_cpus: Annotated[float | None, Field(ge=0)] = None
    entrypoint_num_gpus: Annotated[float | None, Field(ge=0)] = None
    entrypoint_memory: Annotated[int | None, Field(ge=0, description="Bytes.")] = None
    entrypoint_resources: dict[str, float] | None = None
    entrypoint_label_selector: dict[str, str] | None = None


class JobSubmitResponse(BaseModel):
    job_id: Annotated[str, Field(description="The same as submission_id.")]
    submission_id: str


class JobStopResponse(BaseModel):
    stopped: Annotated[bool, Field(description="False when it had ended already.")]


class JobDeleteResponse(BaseModel):
    deleted: bool


class JobLogsResponse(BaseModel):
    logs: str


class JobDetails(BaseModel):
    """A job in Ray's terms. Fields about Ray's driver are null, because drivers belong to attempts, not to jobs."""

    type: Literal["SUBMISSION"] = "SUBMISSION"
    job_id: Annotated[str | None, Field(description="Raylift's id of the job, as in /mlops/training/jobs.")]
    submission_id: str | None
    driver_info: None = None
    status: Literal["PENDING", "RUNNING", "STOPPED", "SUCCEEDED", "FAILED"]
    entrypoint: str
    message: Annotated[str | None, Field(description="The reason and, while it is queued, its position.")]
    error_type: str | None
    start_time: Annotated[int | None, Field(description="Time of the submission, as in Ray: Unix time in milliseconds.")]
    end_time: int | None
    metadata: dict[str, str] | None
    runtime_env: Annotated[dict[str, Any] | None, Field(description="As it was sent; the values of env_vars are masked.")]
    driver_agent_http_address: None = None
    driver_node_id: None = None
    driver_exit_code: int | None
