"""Configuration of `raylift up`: the schema of cluster_configs/local.yaml, and overrides by a user's file."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Final, cast

import yaml
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from raylift.access_settings import OidcSettings, ReportSettings, WebhookSettings
from raylift.dataset_settings import DatasetSettings
from raylift.domain.quantities import parse_bytes
from raylift.launcher.errors import LauncherError
from raylift.launcher.run.cluster_config import ClusterConfig
from raylift.settings import (
    AuthMode,
    BatchSettings,
    EnvironmentSettings,
    GatewaySettings,
    JobSettings,
    ObservabilitySettings,
    RetentionSettings,
    ServingSettings,
    SupervisorSettings,
)

_PACKAGED: Final = Path(__file__).parents[1] / "local.yaml"
_IN_REPOSITORY: Final = Path(__file__).resolve().parents[4] / "cluster_configs" / "local.yaml"

Port = Annotated[int, Field(ge=0, le=65535)]
Bytes = Annotated[int, BeforeValidator(lambda value: parse_bytes(value) if isinstance(value, str) else value), Field(ge=1)]


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Ports(_Section):
    gateway: Port
    ray_dashboard: Port
    mlflow: Port
    grpc: Port | None
    internal: Port


class MachineType(_Section):
    name: Annotated[str, Field(min_length=1)]
    cpus: Annotated[float, Field(ge=0)]
    memory: Bytes
    gpus: Annotated[float, Field(ge=0)] = 0.0
    max_nodes: Annotated[int, Field(ge=1, le=10_000)]


class Resources(_Section):
    cpus: Annotated[int, Field(ge=1)] | None
    memory: Bytes | None
    gpus: Annotated[int, Field(ge=0)] | None
    object_store_memory: Annotated[Bytes, Field(ge=80 * 2**20)]
    """Ray refuses less than 75 MiB."""
    autoscaling_config: Path | None
    node_types: tuple[MachineType, ...] | None


class HeadEnvironment(_Section):
    inherit: tuple[str, ...]
    set: dict[str, str]


class MlflowServer(_Section):
    workers: Annotated[int, Field(ge=1)]
    readable_paths: tuple[Path, ...]


class Startup(_Section):
    timeout_seconds: Annotated[float, Field(gt=0)]


class LocalConfig(_Section):
    """A complete local configuration. ``cluster_configs/local.yaml`` explains each value and has its default."""

    auth: AuthMode
    oidc: OidcSettings
    reports: ReportSettings
    webhooks: WebhookSettings
    datasets: DatasetSettings
    host: Annotated[str, Field(min_length=1)]
    accept_nodes: bool
    cluster: ClusterConfig
    insecure_no_auth: bool
    ports: Ports
    resources: Resources
    database: str | None
    environment: HeadEnvironment
    mlflow: MlflowServer
    startup: Startup
    jobs: JobSettings
    batches: BatchSettings
    serving: ServingSettings
    supervisor: SupervisorSettings
    gateway: GatewaySettings
    environments: EnvironmentSettings
    retention: RetentionSettings
    observability: ObservabilitySettings

    def job_cpus(self) -> int:
        """Return the CPUs for jobs."""
        return self.resources.cpus or usable_cores()

    def ray_cpus(self) -> int:
        """Return the CPUs that Ray gets: those of jobs and the serving reserve, as a whole number."""
        return self.job_cpus() + math.ceil(self.supervisor.serving_reserve_cpus)


def load_config(user_file: Path | None = None, overrides: Mapping[str, Any] | None = None) -> LocalConfig:
    """Load the defaults and override them key by key with ``user_file``, then with ``overrides``.

    Raises:
        LauncherError: a file cannot be read, or a key or value is invalid; the message names it.
    """
    values = _read(_PACKAGED if _PACKAGED.exists() else _IN_REPOSITORY)
    source = "the configuration"
    if user_file is not None:
        values = _merged(values, _read(user_file))
        source = str(user_file)
    if overrides:
        values = _merged(values, overrides)
    try:
        return _with_absolute_paths(LocalConfig.model_validate(values))
    except ValidationError as error:
        lines = [f"  {'.'.join(map(str, fault['loc']))}: {_reason(fault['type'], fault['msg'])}" for fault in error.errors()]
        raise LauncherError(
            f"{source} is invalid:\n" + "\n".join(lines), hint="cluster_configs/local.yaml documents every key."
        ) from error


def _with_absolute_paths(config: LocalConfig) -> LocalConfig:
    """Resolve files of the configuration, which other processes read from other directories."""
    tls = config.gateway.tls
    paths = {name: path.expanduser().absolute() for name, path in (("cert", tls.cert), ("key", tls.key)) if path is not None}
    gateway = config.gateway.model_copy(update={"tls": tls.model_copy(update=paths)})
    secret = config.oidc.client_secret_file
    oidc = (
        config.oidc if secret is None else config.oidc.model_copy(update={"client_secret_file": secret.expanduser().absolute()})
    )
    ca_file = config.webhooks.ca_file
    webhooks = (
        config.webhooks if ca_file is None else config.webhooks.model_copy(update={"ca_file": ca_file.expanduser().absolute()})
    )
    file = config.resources.autoscaling_config
    resources = config.resources.model_copy(update={"autoscaling_config": file.expanduser().absolute() if file else None})
    password = config.cluster.gcs_password_file
    cluster = config.cluster.model_copy(update={"gcs_password_file": password.expanduser().absolute() if password else None})
    s3 = config.datasets.s3
    if s3.credentials_file is not None:
        s3 = s3.model_copy(update={"credentials_file": s3.credentials_file.expanduser().absolute()})
    datasets = config.datasets.model_copy(update={"s3": s3})
    return config.model_copy(
        update={
            "gateway": gateway,
            "oidc": oidc,
            "webhooks": webhooks,
            "resources": resources,
            "datasets": datasets,
            "cluster": cluster,
        }
    )


def usable_cores() -> int:
    """Return the number of cores that this process may use, by its affinity and its cgroup's quota."""
    cores = len(os.sched_getaffinity(0))
    quota = _cgroup_cores()
    return max(1, min(cores, math.floor(quota))) if quota else cores


def _cgroup_cores() -> float | None:
    unified = Path("/sys/fs/cgroup/cpu.max")
    if unified.exists():
        quota, period = unified.read_text(encoding="ascii").split()
        return None if quota == "max" else int(quota) / int(period)
    legacy = Path("/sys/fs/cgroup/cpu/cpu.cfs_quota_us")
    if legacy.exists():
        quota = int(legacy.read_text(encoding="ascii"))
        period = int(legacy.with_name("cpu.cfs_period_us").read_text(encoding="ascii"))
        return quota / period if quota > 0 else None
    return None


def _read(path: Path) -> dict[str, Any]:
    try:
        values: object = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise LauncherError(f"{path} cannot be read: {error.strerror}.") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise LauncherError(f"{path} is not YAML: {error}") from error
    if values is None:
        return {}
    if not isinstance(values, dict):
        raise LauncherError(f"{path} is not a mapping of keys to values.")
    return cast("dict[str, Any]", values)


def _merged(base: Mapping[str, Any], overrides: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(base)
    for key, value in overrides.items():
        former = merged.get(key)
        merged[key] = _merged(former, value) if isinstance(former, Mapping) and isinstance(value, Mapping) else value
    return merged


def _reason(kind: str, message: str) -> str:
    return "there is no such key" if kind == "extra_forbidden" else message.removeprefix("Value error, ")
