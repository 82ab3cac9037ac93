"""Where things are on the platform's REST API."""

from __future__ import annotations

from typing import Final
from urllib.parse import quote

UPLOAD: Final = "/mlops/training/upload"
JOBS: Final = "/mlops/training/jobs"
SWEEPS: Final = "/mlops/training/sweeps"
INFERENCE: Final = "/mlops/inference"
MODELS: Final = "/mlops/models"
DEPLOYMENTS: Final = "/mlops/deployments"
ENVIRONMENTS: Final = "/mlops/environments"


def job(job_id: str, what: str = "") -> str:
    """One job, or ``what`` beneath it: logs, script, project, events, cancel, rerun."""
    return _below(JOBS, job_id, what)


def sweep(sweep_id: str, what: str = "") -> str:
    """One sweep, or ``what`` beneath it: cancel."""
    return _below(SWEEPS, sweep_id, what)


def job_diff(first: str, second: str) -> str:
    return _below(JOBS, first, "diff", second)


def model(name: str) -> str:
    return _below(MODELS, name)


def version(name: str, number: str | int) -> str:
    return _below(model(name), "versions", str(number))


def deployment(name: str, number: str | int) -> str:
    return version(name, number) + "/deployment"


def stats(name: str, number: str | int) -> str:
    return version(name, number) + "/stats"


def feedback(name: str, number: str | int) -> str:
    return version(name, number) + "/feedback"


def traffic(name: str) -> str:
    return _below(model(name), "traffic")


def alias(name: str, alias: str) -> str:
    return _below(model(name), "aliases", alias)


def environment(name: str) -> str:
    return _below(ENVIRONMENTS, name)


def _below(base: str, *parts: str) -> str:
    return "/".join([base, *(quote(part, safe="") for part in parts if part)])
