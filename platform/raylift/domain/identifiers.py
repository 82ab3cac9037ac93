"""Names that everything else is found by. Derived, so that every step can be repeated and finds what it made."""

from __future__ import annotations

import re
import secrets
import time
from typing import Final

_CROCKFORD: Final = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"

TORCH_BACKEND: Final = re.compile(r"^(auto|cpu|xpu|cu\d{2,3}|rocm\d+(\.\d+)+)$")
"""Builds of PyTorch, as uv's ``--torch-backend`` names them."""

MODEL_NAME: Final = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]{0,126}[A-Za-z0-9])?")
"""A model name that is safe in a URL path, a Ray Serve application name and a file name."""

OWNER: Final = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]{0,62}[A-Za-z0-9])?")
"""The name of whom a job is for. It names; it proves nothing."""

OWNER_FORM: Final = "1 to 64 letters, digits, dots, dashes and underscores, beginning and ending with a letter or digit"
"""``OWNER`` in words."""

DEFAULT_OWNER: Final = "local"
"""Owner of jobs that name none."""

TAG_SCRIPT_SHA256: Final = "raylift.script_sha256"
TAG_REQUIREMENTS: Final = "raylift.requirements"
TAG_ENVIRONMENT_LOCK: Final = "raylift.environment_lock"
MLFLOW_PARENT_RUN: Final = "mlflow.parentRunId"
"""MLflow's own tag: the run beneath which it shows another."""
TAG_SCHEMA: Final = "raylift.schema"
"""On a version, as JSON: where its schema comes from, and where another source disagrees."""
TAG_SWEEP_ID: Final = "raylift.sweep_id"
"""MLflow tag on a sweep's parent run, and on every run, logged model and model version of its jobs."""
TAG_SWEEP_PARAMETER: Final = "raylift.sweep."
"""Before a parameter's name: MLflow tag on every run of a sweep's job."""


def new_job_id(now: float | None = None) -> str:
    """A new job id: ``job_`` and a ULID (48 bits of milliseconds, 80 random bits), so ids sort by age."""
    return f"job_{_ulid(now)}"


def new_sweep_id(now: float | None = None) -> str:
    """A new sweep id: ``sweep_`` and a ULID, as that of a job."""
    return f"sweep_{_ulid(now)}"


def submission_id(job_id: str, attempt: int) -> str:
    """The Ray submission id of a job's attempt."""
    return f"{job_id}-a{attempt}"


def application_name(model_name: str, version: str) -> str:
    """The Ray Serve application of a model version. ``:`` cannot occur in a model's name."""
    return f"{model_name}:{version}"


def version_of_application(name: str) -> tuple[str, str] | None:
    """The (model name, version) an application was named after; None for applications that are not a version's."""
    model_name, colon, version = name.rpartition(":")
    return (model_name, version) if colon and version.isdigit() else None


def unservable_name(model_name: str) -> str | None:
    """Why no version of a model that MLflow registered under this name can be served; None where it can."""
    if MODEL_NAME.fullmatch(model_name):
        return None
    return (
        f"{model_name!r} cannot be part of a URL path: only up to 128 letters, digits, dots, dashes and underscores can, "
        "with a letter or digit first and last. Register the model under such a name to serve it."
    )


def version_route(model_name: str, version: str) -> str:
    """The URL path of a version's own deployment."""
    return f"/v2/models/{model_name}/versions/{version}"


def _ulid(now: float | None) -> str:
    value = (int((time.time() if now is None else now) * 1000) << 80) | secrets.randbits(80)
    return "".join(_CROCKFORD[(value >> shift) & 31] for shift in range(125, -1, -5))


def version_number(version: str) -> tuple[int, str]:
    """Orders versions by age: MLflow numbers them."""
    return (int(version), version) if version.isdecimal() else (-1, version)
