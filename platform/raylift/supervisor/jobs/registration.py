"""Registers the model of a script that succeeded, exactly once."""

from __future__ import annotations

import json
import logging
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Final

from job_entrypoints.contract import TAG_JOB_ID
from raylift.domain.errors import PlatformError
from raylift.domain.identifiers import TAG_ENVIRONMENT_LOCK, TAG_REQUIREMENTS, TAG_SCRIPT_SHA256, TAG_SWEEP_ID
from raylift.domain.job import Job
from raylift.domain.models.deployment import DeploymentConfig
from raylift.domain.models.version import LoggedModel, ModelVersion, TrackedRun
from raylift.domain.sources.script_notes import ScriptNotes
from raylift.engines.mlflow_engine.client import MlflowRefused
from raylift.engines.mlflow_engine.registry import Registry
from raylift.engines.mlflow_engine.tracking import Tracking
from raylift.store import Store
from raylift.supervisor.deployments import succession
from raylift.supervisor.deployments.version_digest import read_and_tag
from raylift.supervisor.jobs.choose_model import (
    autolog_failed,
    choice,
    choose_model,
    choose_run,
    no_model,
    whose_metrics,
)

log = logging.getLogger(__name__)

NO_NOTES: Final = ScriptNotes()
_TAG_LIMIT: Final = 5000
"""MLflow's limit for a tag's value, in characters."""


class NoModelLogged(PlatformError):
    """A job that was to register a model logged none."""

    code = "no_model_logged"


@dataclass(frozen=True, slots=True)
class Registered:
    """Results of a finished job."""

    message: str
    experiment_id: str | None = None
    run: TrackedRun | None = None
    version: ModelVersion | None = None
    metrics: dict[str, float] = field(default_factory=dict)
    files: Mapping[str, str] | None = None
    """Digests of the version's files; None without a version, or where they cannot be read."""


def register(
    job: Job, tracking: Tracking, registry: Registry, notes: ScriptNotes = NO_NOTES, lost: Collection[int] = ()
) -> Registered:
    """Find the job's runs, and register its model unless its sweep does that. May be repeated.

    ``notes`` come from the script's process. ``lost`` are the numbers of attempts that were lost: their runs and models do not
    count, even if they were made after the platform gave the attempt up.

    Raises: as ``register_model``.
    """
    sweep, tracking = job.spec.sweep, tracking.of(job.spec.workspace)
    if sweep is None or sweep.registers:
        made = register_model(job, tracking, registry, notes, lost)
    else:
        made = _left_to_the_sweep(job, tracking, notes, lost)
    params = parameters(job)
    if params and made.run is not None:
        tracking.add_params(made.run.run_id, params)
    more = ""
    if notes.tracks_at is not None:
        more = f" The script tracked runs at {notes.tracks_at} besides: they are not seen here."
    return replace(made, message=f"{made.message}{more}{autolog_failed(notes)}")


def parameters(job: Job) -> dict[str, str]:
    """Return the parameters for MLflow: those of the upload and of its sweep."""
    sweep = job.spec.sweep
    return {**job.spec.params, **(sweep.parameters if sweep is not None else {})}


def register_model(
    job: Job, tracking: Tracking, registry: Registry, notes: ScriptNotes = NO_NOTES, lost: Collection[int] = ()
) -> Registered:
    """Register the model that the job logged. Repeating it finds the version that was made before.

    Raises:
        NoModelLogged: the job names a model, but logged none that is finished.
        EngineUnavailable: MLflow does not answer.
    """
    tracking = tracking.of(job.spec.workspace)
    runs = _runs(job, tracking, lost)
    name = job.spec.model_name
    if name is None:
        run = choose_run(runs, None)
        message = f"Done. Nothing to register: the job names no model.{whose_metrics(run, runs)}"
        return _registered(job, tracking, run, None, message)
    made = registry.versions_of_job(name, job.job_id, frozenset(run.run_id for run in runs))
    logged = _models(job, tracking, runs, lost)
    model = choose_model(logged, name, job.spec.register, runs)
    version = choose_version(job, made if job.spec.register is None else _made_of(model, job, made))
    if version is not None:
        version = _without_twins(job, version, registry)
        registry.tag_version(version, lineage_tags(job))
        message = f"Registered as {name} version {version.version}."
    else:
        if model is None:
            raise NoModelLogged(no_model(name, job.spec.register, logged, runs, notes))
        version = _without_twins(job, registry.register(name, model, lineage_tags(job)), registry)
        message = f"Registered as {name} version {version.version}{choice(model, logged, runs)}."
    run = _with_metrics_of_the_job(choose_run(runs, version.run_id), runs, tracking)
    made_now = _registered(job, tracking, run, version, f"{message}{whose_metrics(run, runs)}")
    # Its script has ended, and no client knows the version yet: these are the files that the job made.
    return replace(made_now, files=_files_of(version, registry))


def _files_of(version: ModelVersion, registry: Registry) -> dict[str, str] | None:
    try:
        return read_and_tag(version, registry)
    except MlflowRefused as error:
        # The job is not to blame. The supervisor tries again for the deployment, which says so.
        log.warning("%s version %s: %s", version.name, version.version, error.detail)
        return None


def deploy(
    job: Job,
    version: ModelVersion,
    store: Store,
    config: DeploymentConfig,
    *,
    now: datetime,
    files: Mapping[str, str] | None = None,
) -> str:
    """Give a version that was registered for a job its deployment, unless it has one.

    Returns a sentence on the version that answers for the model's name from now on.
    """
    config = succession.watched_like_champion(version, store, succession.config_for(job, version, store, config), now=now)
    row = store.deployments.ensure(
        version.name,
        version.version,
        model_uri=version.uri,
        config=config,
        now=now,
        wanted=job.spec.deploy,
        job_id=job.job_id,
        environment_lock=job.environment_lock or (),
        files=files,
        # The user who trained a model is about to call it. A version with a gate may be kept back: a load check is enough.
        scale_up=job.spec.promote is None,
    )
    return succession.sentence(row, version, store)


def choose_version(job: Job, versions: Sequence[ModelVersion]) -> ModelVersion | None:
    """Return the version that the platform made for the job, else the newest that its script registered."""
    ours = [version for version in versions if version.tags.get(TAG_JOB_ID) == job.job_id]
    return max(ours or versions, key=lambda version: int(version.version), default=None)


def _made_of(model: LoggedModel | None, job: Job, versions: Sequence[ModelVersion]) -> list[ModelVersion]:
    """Return the versions of the chosen model, and those that the platform made."""
    uri = model.uri if model is not None else None
    return [version for version in versions if version.tags.get(TAG_JOB_ID) == job.job_id or version.source == uri]


def twins_of(job: Job, version: ModelVersion, versions: Sequence[ModelVersion]) -> list[ModelVersion]:
    """Return the versions that the platform made of the same model for the same job, ``version`` included, oldest first."""
    same = [
        other
        for other in versions
        if other.version == version.version or (other.tags.get(TAG_JOB_ID) == job.job_id and other.source == version.source)
    ]
    return sorted(same, key=lambda other: int(other.version))


def _without_twins(job: Job, version: ModelVersion, registry: Registry) -> ModelVersion:
    """Keep the oldest of a version and its twins, and delete the others.

    MLflow cannot register a version only if it is missing: a request whose answer was lost (the server or a supervisor was
    killed) may be carried out after our check. No client has seen any of them yet, and every supervisor keeps the oldest.
    """
    if version.tags.get(TAG_JOB_ID) != job.job_id:
        return version  # Its script registered it.
    first, *others = twins_of(job, version, registry.versions(version.name)) or [version]
    for other in others:
        log.warning("%s: removing %s version %s, a twin of version %s", job.job_id, other.name, other.version, first.version)
        registry.delete_version(other)
    return first


def lineage_tags(job: Job) -> dict[str, str]:
    """Return the tags that name the origin of a version."""
    spec = job.spec
    tags = {
        **spec.tags,
        TAG_JOB_ID: job.job_id,
        TAG_SCRIPT_SHA256: spec.script_sha256,
        TAG_REQUIREMENTS: json.dumps(list(spec.requirements)),
        TAG_ENVIRONMENT_LOCK: json.dumps(list(job.environment_lock or ())),
    }
    if spec.sweep is not None:
        tags[TAG_SWEEP_ID] = spec.sweep.sweep_id
    # A list that is too long for a tag is left out rather than cut: the job has all of it.
    return {key: value for key, value in tags.items() if len(value) <= _TAG_LIMIT}


def _runs(job: Job, tracking: Tracking, lost: Collection[int]) -> list[TrackedRun]:
    return [run for run in tracking.runs_of_job(job.job_id) if run.attempt not in lost]


def _models(job: Job, tracking: Tracking, runs: Sequence[TrackedRun], lost: Collection[int]) -> list[LoggedModel]:
    return [model for model in tracking.logged_models_of_job(job.job_id, runs) if model.attempt not in lost]


def _left_to_the_sweep(job: Job, tracking: Tracking, notes: ScriptNotes, lost: Collection[int]) -> Registered:
    runs = _runs(job, tracking, lost)
    logged = _models(job, tracking, runs, lost)
    model = choose_model(logged, job.spec.model_name or "", job.spec.register, runs)
    if model is None and job.spec.model_name is not None:
        # It could not become the best. Failing now is better than after all have ended.
        raise NoModelLogged(no_model(job.spec.model_name, job.spec.register, logged, runs, notes))
    run = _with_metrics_of_the_job(choose_run(runs, model.run_id if model else None), runs, tracking)
    return _registered(job, tracking, run, None, "Done. Its sweep registers the best job's model when all have ended.")


def _with_metrics_of_the_job(run: TrackedRun | None, runs: Sequence[TrackedRun], tracking: Tracking) -> TrackedRun | None:
    """Add metrics that the script logged outside of any run to the run of the model."""
    if run is None:
        return None
    outside = {
        name: other.metrics[name]
        for other in runs
        if other.outside is not None and other.run_id != run.run_id
        for name in other.outside
        if name in other.metrics and name not in run.metrics
    }
    if not outside:
        return run
    tracking.add_metrics(run.run_id, outside)
    return replace(run, metrics={**run.metrics, **outside})


def _registered(job: Job, tracking: Tracking, run: TrackedRun | None, version: ModelVersion | None, message: str) -> Registered:
    experiment_id = run.experiment_id if run else tracking.experiment_id(job.spec.experiment_name)
    return Registered(message, experiment_id, run, version, dict(run.metrics) if run else {})
