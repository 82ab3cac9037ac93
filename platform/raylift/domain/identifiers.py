"""Identifiers, tags and names. They are derived, so a repeated step finds what it made before."""

from __future__ import annotations

import re
import secrets
import time
from typing import Final

_CROCKFORD: Final = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"

TORCH_BACKEND: Final = re.compile(r"^(auto|cpu|xpu|cu\d{2,3}|rocm\d+(\.\d+)+)$")
"""Values of uv's ``--torch-backend`` that a job may choose: builds of PyTorch."""

MODEL_NAME: Final = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]{0,126}[A-Za-z0-9])?")
"""Model names that are safe in a URL path, a Ray Serve application name and a file name."""

OWNER: Final = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._@-]{0,62}[A-Za-z0-9])?")
"""Names of job owners, such as e-mail addresses. In local mode a name is not authenticated."""

OWNER_FORM: Final = "1 to 64 letters, digits, dots, dashes, underscores and @, beginning and ending with a letter or digit"
"""``OWNER`` in words."""

DEFAULT_OWNER: Final = "local"
"""Owner of jobs that were uploaded without one."""

DEFAULT_WORKSPACE: Final = "default"
"""Workspace of everything that local mode makes, and of models that were registered without a job."""

TAG_SCRIPT_SHA256: Final = "raylift.script_sha256"
TAG_REQUIREMENTS: Final = "raylift.requirements"
TAG_ENVIRONMENT_LOCK: Final = "raylift.environment_lock"
MLFLOW_PARENT_RUN: Final = "mlflow.parentRunId"
"""MLflow's own tag with the id of a run's parent run."""
TAG_DIGEST: Final = "raylift.digest"
"""Tag of a version: the digest of its files at its registration, for people. The store's copy decides."""
TAG_NOT_DEPLOYED: Final = "raylift.not_deployed"
"""Tag of a version that the platform does not deploy: the reason, for people."""
TAG_SCHEMA: Final = "raylift.schema"
"""Tag of a version, JSON: the source of its schema and the sources that disagree with it."""
TAG_SCHEDULE: Final = "raylift.schedule"
"""Key of the schedule's name among the indexed tags of its jobs."""
TAG_BATCH: Final = "raylift.batch"
"""Key of the model's name among the indexed tags of a batch."""
TAG_SWEEP_ID: Final = "raylift.sweep_id"
"""MLflow tag on a sweep's parent run, and on every run, logged model and model version of its jobs."""
TAG_SWEEP_PARAMETER: Final = "raylift.sweep."
"""Prefix of the MLflow tags that hold a sweep job's parameters on each of its runs."""


def new_job_id(now: float | None = None) -> str:
    """Make a job id: ``job_`` and a ULID (48 bits of milliseconds, 80 random bits), so ids sort by age."""
    return f"job_{_ulid(now)}"


def new_entry_id(now: float | None = None) -> str:
    """Make the id of an audit entry: ``audit_`` and a ULID."""
    return f"audit_{_ulid(now)}"


def new_sweep_id(now: float | None = None) -> str:
    """Make a sweep id: ``sweep_`` and a ULID."""
    return f"sweep_{_ulid(now)}"


def new_schedule_id(now: float | None = None) -> str:
    """Make a schedule id: ``schedule_`` and a ULID."""
    return f"schedule_{_ulid(now)}"


def new_rollout_id(now: float | None = None) -> str:
    """Make a rollout id: ``rollout_`` and a ULID."""
    return f"rollout_{_ulid(now)}"


def new_webhook_id(now: float | None = None) -> str:
    """Make a webhook id: ``webhook_`` and a ULID."""
    return f"webhook_{_ulid(now)}"


def new_delivery_id(now: float | None = None) -> str:
    """Make the id of a message to a webhook: ``msg_`` and a ULID."""
    return f"msg_{_ulid(now)}"


def new_alert_id(now: float | None = None) -> str:
    """Make the id of an alert about a model version: ``alert_`` and a ULID."""
    return f"alert_{_ulid(now)}"


def submission_id(job_id: str, attempt: int) -> str:
    """Return the Ray submission id of a job's attempt."""
    return f"{job_id}-a{attempt}"


def application_name(model_name: str, version: str) -> str:
    """Return the name of a version's Ray Serve application. A model name cannot contain ``:``."""
    return f"{model_name}:{version}"


def version_of_application(name: str) -> tuple[str, str] | None:
    """Return (model name, version) of an application; None for applications that serve no model version."""
    model_name, colon, version = name.rpartition(":")
    return (model_name, version) if colon and version.isdigit() else None


def unservable_name(model_name: str) -> str | None:
    """Return the reason why a model of this name cannot be served; None where it can. MLflow accepts more names."""
    if MODEL_NAME.fullmatch(model_name):
        return None
    return (
        f"{model_name!r} cannot be part of a URL path: only up to 128 letters, digits, dots, dashes and underscores can, "
        "with a letter or digit first and last. Register the model under such a name to serve it."
    )


def version_number(version: str) -> tuple[int, str]:
    """Return a key that sorts versions by age. MLflow numbers them."""
    return (int(version), version) if version.isdecimal() else (-1, version)


def _ulid(now: float | None) -> str:
    value = (int((time.time() if now is None else now) * 1000) << 80) | secrets.randbits(80)
    return "".join(_CROCKFORD[(value >> shift) & 31] for shift in range(125, -1, -5))
