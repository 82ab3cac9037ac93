from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from job_entrypoints.contract import TAG_JOB_ID
from raylift.domain.identifiers import TAG_REQUIREMENTS
from raylift.domain.job import Job, JobState
from raylift.domain.models.version import LoggedModel, ModelVersion, TrackedRun
from raylift.domain.sources.script_notes import ScriptNotes
from raylift.engines.mlflow_engine.client import MlflowRefused
from raylift.supervisor.jobs.registration import (
    NoModelLogged,
    choose_version,
    lineage_tags,
    register,
    register_model,
    twins_of,
)

NOW = datetime(2026, 1, 2, tzinfo=UTC)
Make = Callable[..., Job]


def test_version_of_the_platform_precedes_the_script_s(make_job: Make) -> None:
    job = make_job(JobState.REGISTRATION)
    theirs = [ModelVersion("churn", version, NOW) for version in ("9", "10")]
    ours = ModelVersion("churn", "8", NOW, tags={TAG_JOB_ID: job.job_id})
    assert choose_version(job, [*theirs, ours]) == ours
    assert choose_version(job, theirs) == theirs[1]
    assert choose_version(job, []) is None


def test_duplicate_versions_are_those_the_platform_made_twice(make_job: Make) -> None:
    job = make_job(JobState.REGISTRATION)
    ours = {TAG_JOB_ID: job.job_id}
    first, twin = (ModelVersion("churn", number, NOW, tags=ours, source="models:/m-1") for number in ("9", "10"))
    others = [
        ModelVersion("churn", "1", NOW, tags={TAG_JOB_ID: "job_other"}, source="models:/m-1"),
        ModelVersion("churn", "2", NOW, tags=ours, source="models:/m-2"),
        ModelVersion("churn", "3", NOW, source="models:/m-1"),
    ]
    assert twins_of(job, twin, [*others, twin, first]) == [first, twin]
    assert twins_of(job, first, others) == []


def test_lineage_is_tagged_without_values_too_long_for_mlflow(make_job: Make) -> None:
    job = make_job(JobState.REGISTRATION, environment_lock=("humanize==4.9.0",))
    tags = lineage_tags(job)
    assert tags[TAG_JOB_ID] == job.job_id
    assert "humanize==4.9.0" in tags["raylift.environment_lock"]
    many = replace(job, spec=replace(job.spec, requirements=("x" * 100,) * 100))
    assert TAG_REQUIREMENTS not in lineage_tags(many)


class Tracking:
    """Fake of MLflow with one job's runs and models in memory."""

    def __init__(self, runs: list[TrackedRun], models: list[LoggedModel]) -> None:
        self.runs, self.models = runs, models
        self.added: list[tuple[str, dict[str, float]]] = []
        self.versions_made: list[ModelVersion] = []
        self.unreadable: MlflowRefused | None = None

    def of(self, _: str) -> Any:
        """Return the one of a workspace: this fake has one."""
        return self

    def runs_of_job(self, _: str) -> list[TrackedRun]:
        return self.runs

    def logged_models_of_job(self, _: str, __: object) -> list[LoggedModel]:
        return self.models

    def add_metrics(self, run_id: str, metrics: dict[str, float]) -> None:
        self.added.append((run_id, metrics))

    def versions_of_job(self, *_: object) -> list[ModelVersion]:
        return self.versions_made

    def versions(self, _: str) -> list[ModelVersion]:
        return self.versions_made

    def register(self, name: str, model: LoggedModel, tags: dict[str, str]) -> ModelVersion:
        self.versions_made.append(ModelVersion(name, "1", NOW, tags=tags, run_id=model.run_id, source=model.uri))
        return self.versions_made[-1]

    def tag_version(self, *_: object) -> None: ...

    def file_digests(self, version: ModelVersion) -> dict[str, str]:
        if self.unreadable is not None:
            raise self.unreadable
        return {"MLmodel": version.uri}


def test_metrics_logged_outside_of_runs_are_shown_with_the_model(make_job: Make) -> None:
    job_run = TrackedRun("job", "1", NOW, metrics={"auc": 0.75, "loss": 0.1, "training_r2_score": 0.3}, outside={"auc", "loss"})
    own = TrackedRun("own", "1", NOW, "job", name="able-cow", metrics={"loss": 0.2, "training_accuracy_score": 0.9})
    model = LoggedModel("m-1", "model", "own", NOW, "models:/m-1", ("SVC",))
    mlflow: Any = Tracking([job_run, own], [model])
    made = register_model(make_job(JobState.REGISTRATION), mlflow, mlflow)
    assert made.metrics == {"auc": 0.75, "loss": 0.2, "training_accuracy_score": 0.9}
    assert mlflow.added == [("own", {"auc": 0.75})]
    assert made.run is not None
    assert made.run.run_id == "own"
    assert "those of run able-cow" in made.message


def test_message_names_the_library_whose_autologging_failed(make_job: Make) -> None:
    mlflow: Any = Tracking([TrackedRun("run", "1", NOW)], [LoggedModel("m-1", "model", "run", NOW, "models:/m-1", ("SVC",))])
    notes = ScriptNotes(autolog_failure="keras: no module")
    made = register(make_job(JobState.REGISTRATION), mlflow, mlflow, notes)
    assert made.message == "Registered as churn version 1. Autologging failed (keras: no module)."


def test_model_chosen_by_the_upload_is_registered(make_job: Make) -> None:
    job = make_job(JobState.REGISTRATION)
    job = replace(job, spec=replace(job.spec, register="PCA"))
    models = [LoggedModel(f"m-{name}", "model", "run", NOW, f"models:/m-{name}", (name,)) for name in ("SVC", "PCA", "KMeans")]
    mlflow: Any = Tracking([TrackedRun("run", "1", NOW)], models)
    # The script registered another one under that name, which was not the requested one.
    mlflow.versions_made.append(ModelVersion("churn", "7", NOW, run_id="run", source="models:/m-SVC"))
    assert register_model(job, mlflow, mlflow).version == mlflow.versions_made[-1]
    assert mlflow.versions_made[-1].source == "models:/m-PCA"
    with pytest.raises(NoModelLogged, match="'Lasso'"):
        register_model(replace(job, spec=replace(job.spec, register="Lasso")), Tracking([], models), Tracking([], models))  # type: ignore[arg-type]


def test_registration_returns_the_digests_of_the_version(make_job: Make) -> None:
    mlflow: Any = Tracking([TrackedRun("run", "1", NOW)], [LoggedModel("m-1", "model", "run", NOW, "models:/m-1", ("SVC",))])
    assert register(make_job(JobState.REGISTRATION), mlflow, mlflow).files == {"MLmodel": "models:/churn/1"}
    # The deployment reports it; the job has done its part.
    mlflow.unreadable = MlflowRefused("no bucket", error_code="INTERNAL_ERROR")
    made = register(make_job(JobState.REGISTRATION), mlflow, mlflow)
    assert (made.version is not None, made.files) == (True, None)


def test_models_of_lost_attempts_do_not_count(make_job: Make) -> None:
    runs = [TrackedRun("late", "1", NOW, attempt=1), TrackedRun("own", "1", NOW, attempt=2)]
    models = [
        LoggedModel(f"m-{run.run_id}", "model", run.run_id, NOW, f"models:/m-{run.run_id}", ("SVC",), attempt=run.attempt)
        for run in reversed(runs)
    ]
    mlflow: Any = Tracking(runs, models)
    made = register(make_job(JobState.REGISTRATION), mlflow, mlflow, lost={1})
    assert mlflow.versions_made[-1].source == "models:/m-own"
    assert made.run is not None
    assert made.run.run_id == "own"
    with pytest.raises(NoModelLogged):
        register(make_job(JobState.REGISTRATION), mlflow_without(mlflow), mlflow_without(mlflow), lost={1, 2})


def mlflow_without(mlflow: Tracking) -> Any:
    """The same runs and models, none registered."""
    return Tracking(mlflow.runs, mlflow.models)
