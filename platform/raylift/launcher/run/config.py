"""What `raylift up` starts from: the schema of cluster_configs/local.yaml, and how a user's file is laid over it."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Final, cast

import yaml
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from raylift.domain.quantities import parse_bytes
from raylift.launcher.errors import LauncherError
from raylift.settings import (
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


class Resources(_Section):
    cpus: Annotated[int, Field(ge=1)] | None
    memory: Bytes | None
    gpus: Annotated[int, Field(ge=0)] | None
    object_store_memory: Annotated[Bytes, Field(ge=80 * 2**20)]
    """Ray refuses less than 75 MiB."""


class HeadEnvironment(_Section):
    inherit: tuple[str, ...]
    set: dict[str, str]


class MlflowServer(_Section):
    workers: Annotated[int, Field(ge=1)]


class Startup(_Section):
    timeout_seconds: Annotated[float, Field(gt=0)]


class LocalConfig(_Section):
    """A complete local configuration. ``cluster_configs/local.yaml`` says what each value means and its default."""

    host: Annotated[str, Field(min_length=1)]
    ports: Ports
    resources: Resources
    database: str | None
    environment: HeadEnvironment
    mlflow: MlflowServer
    startup: Startup
    jobs: JobSettings
    serving: ServingSettings
    supervisor: SupervisorSettings
    gateway: GatewaySettings
    environments: EnvironmentSettings
    retention: RetentionSettings
    observability: ObservabilitySettings

    def job_cpus(self) -> int:
        """CPUs that jobs may fill."""
        return self.resources.cpus or usable_cores()

    def ray_cpus(self) -> int:
        """CPUs that Ray is told of: Ray counts whole ones."""
        return self.job_cpus() + math.ceil(self.supervisor.serving_reserve_cpus)


def load_config(user_file: Path | None = None, overrides: Mapping[str, Any] | None = None) -> LocalConfig:
    """The defaults, with ``user_file`` and then ``overrides`` laid over them key by key.

    Raises:
        LauncherError: a file cannot be read, or a key or value is wrong; the message names it.
    """
    values = _read(_PACKAGED if _PACKAGED.exists() else _IN_REPOSITORY)
    source = "the configuration"
    if user_file is not None:
        values = _laid_over(values, _read(user_file))
        source = str(user_file)
    if overrides:
        values = _laid_over(values, overrides)
    try:
        return LocalConfig.model_validate(values)
    except ValidationError as error:
        lines = [f"  {'.'.join(map(str, fault['loc']))}: {_in_words(fault['type'], fault['msg'])}" for fault in error.errors()]
        raise LauncherError(
            f"{source} is not right:\n" + "\n".join(lines), hint="cluster_configs/local.yaml documents every key."
        ) from error


def usable_cores() -> int:
    """Cores this process may run on, by its affinity and its cgroup's quota."""
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


def _laid_over(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(below)
    for key, value in above.items():
        under = merged.get(key)
        merged[key] = _laid_over(under, value) if isinstance(under, Mapping) and isinstance(value, Mapping) else value
    return merged


def _in_words(kind: str, message: str) -> str:
    return "there is no such key" if kind == "extra_forbidden" else message.removeprefix("Value error, ")
