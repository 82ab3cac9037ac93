"""Credentials for MLflow in keys mode: of the platform's processes, of jobs and of replicas."""

from __future__ import annotations

import os
import time
from typing import Final

from raylift.engines.mlflow_engine.signed_credentials import Bearer, mint

VARIABLE: Final = "MLFLOW_TRACKING_TOKEN"
"""MLflow's own variable: its client sends the value as a bearer token."""


def use_credential(secret: str | None) -> None:
    """Let MLflow's client in this process use the platform's credential."""
    if secret is not None:
        os.environ[VARIABLE] = mint(secret, Bearer.PLATFORM, "platform")  # noqa: TID251 - MLflow's own variable


def job_variables(secret: str | None, job_id: str, workspace: str, *, seconds: float) -> dict[str, str]:
    """Return the variables of a job's script, whose credential is good for ``seconds``, and no longer than the job lives."""
    if secret is None:
        return {}
    now = time.time()
    return {VARIABLE: mint(secret, Bearer.JOB, job_id, workspace=workspace, issued=now, expires=now + seconds)}


def replica_variables(secret: str | None, version: str, workspace: str) -> dict[str, str]:
    """Return the variables of a replica, whose credential only reads."""
    return {} if secret is None else {VARIABLE: mint(secret, Bearer.REPLICA, version, workspace=workspace)}
