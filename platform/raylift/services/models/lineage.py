"""Origin of a model version, from the job that made it or else from the version's tags."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, cast

from job_entrypoints.contract import TAG_JOB_ID
from raylift.domain.errors import JobNotFound
from raylift.domain.identifiers import TAG_ENVIRONMENT_LOCK, TAG_REQUIREMENTS, TAG_SCRIPT_SHA256
from raylift.domain.job import Job
from raylift.domain.job_data import DataInput
from raylift.domain.models.version import ModelVersion
from raylift.store import Store


@dataclass(frozen=True, slots=True)
class Origins:
    """Origin of a version. None: unknown, because no job made the version, or its job was deleted and left no tags."""

    job_id: str | None
    script_sha256: str | None
    requirements: tuple[str, ...] | None
    environment_lock: tuple[str, ...] | None
    metrics: Mapping[str, float]
    data: tuple[DataInput, ...] = ()
    """Datasets of the training."""


def origins_of(store: Store, version: ModelVersion, workspace: str | None = None) -> Origins:
    """Return the origin of a version. ``workspace`` is the model's, where the caller knows it."""
    job = job_of(store, version, workspace)
    if job is None:
        return Origins(
            version.tags.get(TAG_JOB_ID),
            version.tags.get(TAG_SCRIPT_SHA256),
            _lines(version.tags.get(TAG_REQUIREMENTS)),
            _lines(version.tags.get(TAG_ENVIRONMENT_LOCK)),
            version.metrics,
        )
    lock = job.environment_lock
    return Origins(
        job.job_id, job.spec.script_sha256, job.spec.requirements, lock, version.metrics or job.metrics, job.spec.data
    )


def environment_lock_of(store: Store, version: ModelVersion) -> tuple[str, ...]:
    """Return the pinned packages of the training, which are also those of the replicas."""
    return origins_of(store, version).environment_lock or ()


def job_of(store: Store, version: ModelVersion, workspace: str | None = None) -> Job | None:
    """Return the job that made the version; None without one, or after its deletion.

    Anyone who writes to a workspace of MLflow may write the tag, so it only names jobs of the model's ``workspace``.
    """
    job = find_job(store, version.tags.get(TAG_JOB_ID))
    if job is None or job.spec.workspace == (workspace or store.workspaces.of_model(version.name)):
        return job
    return None


def find_job(store: Store, job_id: str | None) -> Job | None:
    """Return the job; None without an id, or after its deletion."""
    if job_id is None:
        return None
    try:
        return store.jobs.get(job_id)
    except JobNotFound:
        return None


def _lines(tag: str | None) -> tuple[str, ...] | None:
    """Parse a tag that holds a JSON list, or one item on each line."""
    if tag is None:
        return None
    try:
        parsed = json.loads(tag)
    except ValueError:
        parsed = tag.splitlines()
    items = cast("list[Any]", parsed if isinstance(parsed, list) else [tag])
    return tuple(str(item) for item in items)
