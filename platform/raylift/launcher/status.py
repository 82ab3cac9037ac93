"""Status of a platform: its parts, and its jobs by status."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any

import httpx

from raylift.domain.errors import PlatformError
from raylift.launcher.errors import LauncherError
from raylift.launcher.processes.platform_processes import pids_by_component
from raylift.launcher.run.config import load_config
from raylift.launcher.run.record import RunRecord
from raylift.launcher.startup import database_url
from raylift.store import KeyRing, Store


class Health(StrEnum):
    OK = "ok"
    SILENT = "silent"
    """Its process lives, but it does not answer or reports an error."""
    DEAD = "dead"


@dataclass(frozen=True, slots=True)
class Component:
    name: str
    health: Health
    pid: int | None
    port: int | None
    detail: str | None = None


@dataclass(frozen=True, slots=True)
class PlatformStatus:
    """``healthy`` if all components are."""

    healthy: bool
    components: tuple[Component, ...]
    jobs: dict[str, int]
    """Counts by status; empty where the store cannot be read."""

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


def read_status(record: RunRecord) -> PlatformStatus:
    """Check every part."""
    pids = pids_by_component(record.instance)
    ports = record.ports
    # A raylet without its GCS lives for a minute, but does not work.
    raylet = pids.get("raylet") if "gcs_server" in pids else None
    store, jobs = _store(record)
    components = (
        store,
        _judge("mlflow", pids.get("mlflow"), ports["mlflow"], f"{record.mlflow_url}/health"),
        _judge("ray", raylet, ports["ray_dashboard"], f"{record.ray_dashboard_url}/api/gcs_healthz"),
        _judge("ingress", pids.get("haproxy"), ports["gateway"], f"{record.gateway_url}/-/healthz"),
        _judge("gateway", pids.get("gateway"), ports["gateway"], f"{record.gateway_url}/readyz"),
        _alive("supervisor", pids.get("supervisor")),
        *([_alive("grpc", pids.get("grpc"), ports["grpc"])] if "grpc" in ports else []),
    )
    return PlatformStatus(all(part.health is Health.OK for part in components), components, jobs)


def _judge(name: str, pid: int | None, port: int, url: str) -> Component:
    if pid is None:
        return Component(name, Health.DEAD, None, port, "no process")
    try:
        answer = httpx.get(url, timeout=5.0, trust_env=False)
    except httpx.HTTPError as error:
        return Component(name, Health.SILENT, pid, port, f"GET {url}: {error}")
    if answer.status_code != 200:
        return Component(name, Health.SILENT, pid, port, f"GET {url}: {answer.status_code} {answer.text[:300]}")
    return Component(name, Health.OK, pid, port)


def _alive(name: str, pid: int | None, port: int | None = None) -> Component:
    # The gateway's /readyz checks the supervisor's lease.
    return Component(name, Health.DEAD if pid is None else Health.OK, pid, port, "no process" if pid is None else None)


def _store(record: RunRecord) -> tuple[Component, dict[str, int]]:
    try:
        store = Store.open(database_url(load_config(record.config_file), record.state_dir), KeyRing(None))
        try:
            counts = {str(status): count for status, count in store.jobs.count_by_status().items()}
        finally:
            store.close()
    except (PlatformError, LauncherError, ValueError) as error:
        return Component("store", Health.SILENT, None, None, str(error)), {}
    return Component("store", Health.OK, None, None), counts
