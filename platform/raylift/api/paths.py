"""Paths of the platform's HTTP API."""

from __future__ import annotations

from typing import Final
from urllib.parse import quote

MLOPS: Final = "/mlops"
TRAINING: Final = f"{MLOPS}/training"
UPLOAD: Final = f"{TRAINING}/upload"
JOBS: Final = f"{TRAINING}/jobs"
SWEEPS: Final = f"{TRAINING}/sweeps"
SCHEDULES: Final = f"{MLOPS}/schedules"
BATCHES: Final = f"{MLOPS}/batches"
INFERENCE: Final = f"{MLOPS}/inference"
MODELS: Final = f"{MLOPS}/models"
DEPLOYMENTS: Final = f"{MLOPS}/deployments"
ENVIRONMENTS: Final = f"{MLOPS}/environments"
KEYS: Final = f"{MLOPS}/keys"
AUDIT: Final = f"{MLOPS}/audit"
AUDIT_EXPORT: Final = f"{AUDIT}/export"
AUTH: Final = f"{MLOPS}/auth"
LOGIN_PAGE: Final = f"{AUTH}/page"
LOGIN: Final = f"{AUTH}/login"
LOGIN_DEVICE: Final = f"{AUTH}/device"
LOGIN_OF_DEVICE: Final = f"{AUTH}/device/login"
AUTH_SESSION: Final = f"{AUTH}/session"
WHOAMI: Final = f"{MLOPS}/whoami"
WEBHOOKS: Final = f"{MLOPS}/webhooks"
DATASETS: Final = f"{MLOPS}/datasets"
ROLLOUTS: Final = f"{MLOPS}/rollouts"
SECRETS: Final = f"{MLOPS}/secrets"
V1_MODELS: Final = "/v1/models"
"""KServe's V1 protocol."""
V2_MODELS: Final = "/v2/models"
"""The Open Inference Protocol, and all routes of versions."""
OVERVIEW: Final = f"{MLOPS}/overview"
CLUSTER: Final = f"{MLOPS}/cluster"
NODES: Final = f"{MLOPS}/nodes"
NODE_DOCUMENT: Final = f"{NODES}/document"
QUEUE: Final = f"{MLOPS}/queue"
SETTINGS: Final = f"{MLOPS}/settings"
CONSOLE: Final = "/console/"
DOCS_PAGE: Final = "/docs"
RAY_API: Final = "/api/"
"""Ray's Jobs API."""


def job(job_id: str, what: str = "") -> str:
    """Return the path of a job, or of ``what`` below it: logs, script, project, events, attempts, cancel, rerun."""
    return _below(JOBS, job_id, what)


def sweep(sweep_id: str, what: str = "") -> str:
    """Return the path of a sweep, or of ``what`` below it: cancel."""
    return _below(SWEEPS, sweep_id, what)


def schedule(name: str, what: str = "") -> str:
    """Return the path of a schedule, by name or id, or of ``what`` below it: run, runs."""
    return _below(SCHEDULES, name, what)


def batch(batch_id: str, what: str = "") -> str:
    """Return the path of a batch, or of ``what`` below it: output, rejected."""
    return _below(BATCHES, batch_id, what)


def job_diff(first: str, second: str) -> str:
    return _below(JOBS, first, "diff", second)


def model(name: str) -> str:
    return _below(MODELS, name)


def version(name: str, number: str | int) -> str:
    return _below(model(name), "versions", str(number))


def deployment(name: str, number: str | int) -> str:
    return version(name, number) + "/deployment"


def signature(name: str, number: str | int) -> str:
    return version(name, number) + "/signature"


def reports_of_version(name: str, number: str | int) -> str:
    return version(name, number) + "/reports"


def stats(name: str, number: str | int) -> str:
    return version(name, number) + "/stats"


def series(name: str, number: str | int) -> str:
    return version(name, number) + "/series"


def quality(name: str, number: str | int) -> str:
    return version(name, number) + "/quality"


def feedback(name: str, number: str | int) -> str:
    return version(name, number) + "/feedback"


def monitor(name: str, number: str | int, what: str = "") -> str:
    """Return the path of a version's monitor, or of ``what`` below it: windows, quality, alerts."""
    return version(name, number) + "/monitor" + (f"/{what}" if what else "")


def rollout(name: str, what: str = "") -> str:
    """Return the path of a rollout, by id or model, or of ``what`` below it: approve, pause, abort and so on."""
    return _below(ROLLOUTS, name, what)


def traffic(name: str) -> str:
    return _below(model(name), "traffic")


def alias(name: str, alias: str) -> str:
    return _below(model(name), "aliases", alias)


def environment(name: str) -> str:
    return _below(ENVIRONMENTS, name)


def key(key_id: str) -> str:
    return _below(KEYS, key_id)


def key_rotation(key_id: str) -> str:
    return _below(KEYS, key_id, "rotate")


def webhook(name: str, *what: str) -> str:
    """Return the path of a webhook, by name or id, or of ``what`` below it: deliveries, test, rotate, redeliver."""
    return _below(WEBHOOKS, name, *what)


def dataset(name: str) -> str:
    return _below(DATASETS, name)


def dataset_version(name: str, number: int) -> str:
    return _below(DATASETS, name, "versions", str(number))


def dataset_file(sha256: str) -> str:
    """Return the path to which the bytes of a file are sent."""
    return _below(DATASETS, "files", sha256)


def node_drain(node: str) -> str:
    return _below(NODES, node, "drain")


def secret(name: str) -> str:
    return _below(SECRETS, name)


def version_route(model_name: str, version: str) -> str:
    """Return the route of a version's own application, not quoted."""
    return f"{V2_MODELS}/{model_name}/versions/{version}"


def _below(base: str, *parts: str) -> str:
    return "/".join([base, *(quote(part, safe="") for part in parts if part)])
