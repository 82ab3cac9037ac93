"""A job as the API shows it, for the scripted platforms of the client and command line tests."""

from __future__ import annotations

from typing import Any


def job_resource(status: str, **changes: Any) -> dict[str, Any]:
    """All fields of a job uploaded with the defaults. ``changes`` replace some of them."""
    return {
        "job_id": "job_1",
        "status": status,
        "reason": None,
        "message": None,
        "experiment_name": "exp",
        "model_name": "churn",
        "model_version": None,
        "mlflow_experiment_id": None,
        "mlflow_run_id": None,
        "script_name": "train.py",
        "priority": 50,
        "owner": "local",
        "tags": {},
        "attempt": 1,
        "created_at": "2026-01-02T03:04:05Z",
        "started_at": None,
        "finished_at": None,
        "duration_seconds": None,
        "links": {},
        "phase": status,
        "queue_position": None,
        "metrics": {},
        "script_sha256": "0" * 64,
        "requirements": [],
        "environment_lock": None,
        "environment": {},
        "args": [],
        "resources": {"cpus": 1, "memory": 2147483648, "gpus": 0},
        "timeout_seconds": 600,
        "max_retries": 0,
        "autolog": True,
        "deploy": True,
        "phases": {},
        "usage": None,
        "logs": "",
        "exit_code": None,
        "ray_submission_id": None,
        **changes,
    }
