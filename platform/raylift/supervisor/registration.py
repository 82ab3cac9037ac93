"""From a script that succeeded to a registered version: which run is the job's, which model is registered, exactly once."""

from __future__ import annotations

import json
import logging
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

from raylift.domain.deployment import DeploymentConfig
from raylift.domain.errors import PlatformError
from raylift.domain.identifiers import TAG_ENVIRONMENT_LOCK, TAG_JOB_ID, TAG_REQUIREMENTS, TAG_SCRIPT_SHA256, TAG_SWEEP_ID
from raylift.domain.job import Job
from raylift.domain.model_version import LoggedModel, ModelVersion, TrackedRun
from raylift.engines.registry import Registry
from raylift.engines.tracking import Tracking
from raylift.store import Store
from raylift.supervisor import succession

log = logging.getLogger(__name__)

_TAG_LIMIT: Final = 5000
"""Characters that MLflow keeps of a tag's value."""


class NoModelLogged(PlatformError):
    """A job that was to register a model logged none."""

    code = "no_model_logged"


@dataclass(frozen=True, slots=True)
class Registered:
    """What a finished job made."""

    message: str
    experiment_id: str | None = None
    run: TrackedRun | None = None
    version: ModelVersion | None = None
    metrics: dict[str, float] = field(default_factory=dict)


def register(job: Job, tracking: Tracking, registry: Registry) -> Registered:
    """Find what the job made, and register its model unless that is left to its sweep. May be repeated.

    Raises: as ``register_model``.
    """
    sweep = job.spec.sweep
    made = register_model(job, tracking, registry) if sweep is None or sweep.registers else _left_to_the_sweep(job, tracking)
    params = {**job.spec.params, **(sweep.parameters if sweep is not None else {})}
    if params and made.run is not None:
        tracking.add_params(made.run.run_id, params)
    return made


def register_model(job: Job, tracking: Tracking, registry: Registry) -> Registered:
    """Register the model that the job logged. Repeating it finds the version that was made before.

    Raises:
        NoModelLogged: ``model_name`` was asked for, and no finished model is to be found.
        EngineUnavailable: MLflow does not answer.
    """
    runs = tracking.runs_of_job(job.job_id)
    name = job.spec.model_name
    if name is None:
        run = choose_run(runs, None)
        return _registered(job, tracking, run, None, "Done. Nothing to register: the job names no model.")
    version = choose_version(job, registry.versions_of_job(name, job.job_id, frozenset(run.run_id for run in runs)))
    if version is not None:
        version = _without_twins(job, version, registry)
        registry.tag_version(version, lineage_tags(job))
        message = f"Registered as {name} version {version.version}."
    else:
        logged = tracking.logged_models_of_job(job.job_id, runs)
        model = choose_model(logged, name)
        if model is None:
            raise NoModelLogged(_no_model(name, runs))
        version = _without_twins(job, registry.register(name, model, lineage_tags(job)), registry)
        choice = f" (model {model.name!r}, chosen from the {len(logged)} that the script logged)" if len(logged) > 1 else ""
        message = f"Registered as {name} version {version.version}{choice}."
    return _registered(job, tracking, choose_run(runs, version.run_id), version, message)


def deploy(job: Job, version: ModelVersion, store: Store, config: DeploymentConfig, *, now: datetime) -> str:
    """Give a version that was registered for a job its deployment, unless it has one.

    Returns a sentence on which version answers for the model's name from now on.
    """
    row = store.deployments.ensure(
        version.name,
        version.version,
        model_uri=version.uri,
        config=succession.config_for(job, version, store, config),
        now=now,
        wanted=job.spec.deploy,
        job_id=job.job_id,
        environment_lock=job.environment_lock or (),
        # Whoever trained a model is about to ask it.
        demanded=True,
    )
    return succession.sentence(row, version, store)


def choose_model(logged: Sequence[LoggedModel], model_name: str) -> LoggedModel | None:
    """The model to register: the one named like the registered model, else the one named ``model``, else the last logged.

    Among several of one name the last logged counts. ``logged`` is oldest first.
    """
    for name in (model_name, "model"):
        named = [model for model in logged if model.name == name]
        if named:
            return named[-1]
    return logged[-1] if logged else None


def choose_version(job: Job, versions: Sequence[ModelVersion]) -> ModelVersion | None:
    """The job's version: the one this platform made for it, else the newest that its script registered itself."""
    ours = [version for version in versions if version.tags.get(TAG_JOB_ID) == job.job_id]
    return max(ours or versions, key=lambda version: int(version.version), default=None)


def twins_of(job: Job, version: ModelVersion, versions: Sequence[ModelVersion]) -> list[ModelVersion]:
    """Versions that this platform made of the same model for the same job, the first first; ``version`` is among them."""
    same = [
        other
        for other in versions
        if other.version == version.version or (other.tags.get(TAG_JOB_ID) == job.job_id and other.source == version.source)
    ]
    return sorted(same, key=lambda other: int(other.version))


def _without_twins(job: Job, version: ModelVersion, registry: Registry) -> ModelVersion:
    """The first of a version and its twins; the others are removed.

    MLflow has no "add unless it is there": a request whose answer was lost (the server or a supervisor was killed) may be
    carried out after we looked. Nobody has been told of any of them yet, and everybody keeps the first.
    """
    if version.tags.get(TAG_JOB_ID) != job.job_id:
        return version  # Its script registered it.
    first, *others = twins_of(job, version, registry.versions(version.name)) or [version]
    for other in others:
        log.warning("%s: removing %s version %s, a twin of version %s", job.job_id, other.name, other.version, first.version)
        registry.delete_version(other)
    return first


def choose_run(runs: Sequence[TrackedRun], run_id: str | None) -> TrackedRun | None:
    """The job's run: the one that made its version, else the last that is no other's child. ``runs`` is oldest first."""
    own = [run for run in runs if run.run_id == run_id]
    # In a sweep all of them are children of its parent run, which is none of the job's.
    ids = {run.run_id for run in runs}
    top = [run for run in runs if run.parent_run_id not in ids]
    candidates = own or top or list(runs)
    return candidates[-1] if candidates else None


def lineage_tags(job: Job) -> dict[str, str]:
    """Where a version comes from, as tags on it."""
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
    # A list too long for a tag is left out rather than cut: the job has it whole.
    return {key: value for key, value in tags.items() if len(value) <= _TAG_LIMIT}


def _left_to_the_sweep(job: Job, tracking: Tracking) -> Registered:
    runs = tracking.runs_of_job(job.job_id)
    logged = tracking.logged_models_of_job(job.job_id, runs)
    model = choose_model(logged, job.spec.model_name or "")
    if model is None and job.spec.model_name is not None:
        # It could not win: better told now than when all have ended.
        raise NoModelLogged(_no_model(job.spec.model_name, runs))
    run = choose_run(runs, model.run_id if model else None)
    return _registered(job, tracking, run, None, "Done. Its sweep registers the best job's model when all have ended.")


def _registered(job: Job, tracking: Tracking, run: TrackedRun | None, version: ModelVersion | None, message: str) -> Registered:
    experiment_id = run.experiment_id if run else tracking.experiment_id(job.spec.experiment_name)
    return Registered(message, experiment_id, run, version, dict(run.metrics) if run else {})


def _no_model(name: str, runs: Sequence[TrackedRun]) -> str:
    made = f"{len(runs)} MLflow run{'s' if len(runs) != 1 else ''}" if runs else "no MLflow run"
    return (
        f"The script succeeded and made {made}, but logged no model to register as {name!r}. Log one, for example with "
        'mlflow.sklearn.log_model(model, "model"), or leave autolog on and fit a scikit-learn, XGBoost or LightGBM model; '
        "to run a script without registering anything, leave model_name out."
    )
