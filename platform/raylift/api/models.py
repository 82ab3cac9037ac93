"""Schemas of ``/mlops/models``."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from raylift.api.figures import Figure, OptionalAmount

DeploymentStatusName = Literal["pending", "starting", "ready", "scaled_to_zero", "unhealthy", "stopped"]


class BatchingConfig(BaseModel):
    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)

    max_rows: Annotated[int, Field(ge=1, le=1_000_000)]
    wait_ms: Annotated[float, Field(ge=0, le=60_000, description="Milliseconds.")]


class BatchingUpdate(BaseModel):
    """Change of a deployment's batching. Omitted fields keep their value, or the platform's default if there was none."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)

    max_rows: Annotated[int | None, Field(ge=1, le=1_000_000)] = None
    wait_ms: Annotated[float | None, Field(ge=0, le=60_000, description="Milliseconds.")] = None


class PayloadLogConfig(BaseModel):
    """Sample of requests with their answers, stored as Parquet files (docs/guides/monitoring.md)."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)

    sample_rate: Annotated[float, Field(ge=0, le=1, description="Share of requests to keep; 1 keeps all.")] = 1.0
    max_body_bytes: Annotated[
        int, Field(ge=0, le=16 * 1024 * 1024, description="Bytes. A larger body or answer is omitted from its record.")
    ] = 64 * 1024


class DeploymentUpdate(BaseModel):
    """Body of ``PUT …/deployment``. Omitted fields keep their value (the default for a new deployment)."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)

    min_replicas: Annotated[int | None, Field(ge=0, le=10_000, description="0 scales to zero when idle.")] = None
    max_replicas: Annotated[int | None, Field(ge=1, le=10_000)] = None
    target_ongoing_requests: Annotated[
        float | None, Field(gt=0, le=1_000_000, description="Target of autoscaling: requests in progress per replica.")
    ] = None
    max_ongoing_requests: Annotated[
        int | None, Field(ge=1, le=1_000_000, description="Requests in progress per replica before others queue.")
    ] = None
    max_queued_requests: Annotated[
        int | None, Field(ge=1, le=1_000_000, description="Requests that queue per replica before others are refused with 429.")
    ] = None
    upscale_delay_s: Annotated[
        float | None, Field(ge=0, le=86_400, description="Seconds that load must last before a replica is added.")
    ] = None
    downscale_delay_s: Annotated[
        float | None,
        Field(ge=0, le=86_400, description="Seconds that a replica must be idle before it is removed, the last one too."),
    ] = None
    cpus: Annotated[float | None, Field(ge=0.01, le=1_000_000, description="Logical CPUs of each replica.")] = None
    memory: Annotated[OptionalAmount, Field(description='Logical memory of each replica: bytes or "1GiB".')] = None
    gpus: Annotated[
        float | None, Field(ge=0, le=1_000, description="GPUs of each replica: a part of one (0.5), or whole ones.")
    ] = None
    batching: Annotated[
        BatchingUpdate | None,
        Field(description="Compute simultaneous requests in batches if results stay bit-identical. null: never."),
    ] = None
    payload_log: Annotated[
        PayloadLogConfig | None, Field(description="Keep a sample of requests with their answers. null: none.")
    ] = None
    take_traffic: Annotated[
        bool | None,
        Field(
            description="Without a traffic table, the newest version with this set answers requests that name only the model."
        ),
    ] = None
    environment: Annotated[
        dict[str, str | None] | None,
        Field(
            description="Environment variables of the replicas. Given ones are set, null removes one, others stay; null for "
            "the whole field removes all. A new deployment has those of its job that do not look like secrets."
        ),
    ] = None


class DeploymentView(BaseModel):
    model_config = ConfigDict(protected_namespaces=())

    model_name: str
    model_version: str
    status: DeploymentStatusName
    replicas: int
    message: str | None
    min_replicas: int
    max_replicas: int
    target_ongoing_requests: Figure
    max_ongoing_requests: int
    max_queued_requests: int
    upscale_delay_s: Annotated[float | None, Field(description="null: as the platform's settings say.")]
    downscale_delay_s: Annotated[float | None, Field(description="null: as the platform's settings say.")]
    cpus: Figure
    memory: Annotated[int | None, Field(description="Bytes.")]
    gpus: Figure = 0.0
    batching: BatchingConfig | None
    payload_log: PayloadLogConfig | None = None
    take_traffic: bool = True
    environment: Annotated[
        dict[str, str], Field(description="Environment variables of the replicas; values are not shown.")
    ] = {}
    route: str
    digest: Annotated[
        str | None,
        Field(
            description="SHA-256 over the list of the version's registered files. Others are not loaded. null: not read yet."
        ),
    ] = None
    created_at: datetime
    updated_at: datetime
    ready_at: datetime | None


class DeploymentList(BaseModel):
    deployments: list[DeploymentView]


class Lineage(BaseModel):
    """Origin of a version. Fields are null for versions without a job of the platform."""

    job_id: str | None
    script_sha256: str | None
    requirements: list[str] | None
    environment_lock: list[str] | None
    data: Annotated[dict[str, str], Field(description="Datasets of the training by alias, as name@version.")] = {}
    mlflow_run_id: str | None
    source: str | None


class SchemaView(BaseModel):
    """Origin of the schema of the version's requests (docs/reference/protocols.md)."""

    source: Annotated[
        str,
        Field(description="training, signature, input_example: the table seen there; model; mlflow_signature; or none."),
    ]
    disagreements: Annotated[list[str], Field(description="Differences in other sources. The schema follows its own source.")]


class VersionView(BaseModel):
    model_config = ConfigDict(protected_namespaces=())

    model_name: str
    model_version: str
    created_at: datetime
    aliases: list[str]
    tags: dict[str, str]
    metrics: Annotated[dict[str, Figure], Field(description="null is NaN.")]
    lineage: Lineage
    schema_origin: Annotated[SchemaView | None, Field(description="null until the version has been loaded once.")] = None
    deployment: DeploymentView | None


class ModelView(BaseModel):
    model_config = ConfigDict(protected_namespaces=())

    model_name: str
    description: str | None
    created_at: datetime
    aliases: Annotated[dict[str, str], Field(description="alias → version")]
    versions: Annotated[list[VersionView], Field(description="Newest first.")]


class ModelSummary(BaseModel):
    model_config = ConfigDict(protected_namespaces=())

    model_name: str
    latest_version: str | None
    aliases: dict[str, str]
    created_at: datetime
    updated_at: datetime | None
    ready_versions: list[str]


class ModelList(BaseModel):
    models: list[ModelSummary]


class ColumnView(BaseModel):
    name: str
    type: Annotated[str, Field(description="MLflow's name: long, double, string, boolean, datetime, array, object, …")]
    required: bool


class TensorView(BaseModel):
    name: str | None
    dtype: Annotated[str, Field(description="NumPy's name, e.g. float64.")]
    shape: Annotated[list[int], Field(description="-1: any length.")]


class ParameterView(BaseModel):
    name: str
    type: str
    default: Any


class SignatureView(BaseModel):
    """Inputs of a version, from its files. Both lists are empty where the files name no inputs."""

    model_config = ConfigDict(protected_namespaces=())

    model_name: str
    model_version: str
    inputs: Annotated[list[ColumnView], Field(description="Named columns.")]
    tensors: Annotated[list[TensorView], Field(description="Tensors, for a model that takes no columns.")]
    params: Annotated[list[ParameterView], Field(description="Parameters of a prediction.")]
    example: Annotated[Any, Field(description="The logged input example as MLflow stores it; null without one.")] = None
