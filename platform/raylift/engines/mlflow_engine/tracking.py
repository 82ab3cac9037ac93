"""Reads and completes the runs and logged models of jobs in MLflow."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import mlflow.artifacts
from mlflow import MlflowClient
from mlflow.entities import Metric, Param

from job_entrypoints.contract import (
    ALL_METRICS,
    CLASS_SEPARATOR,
    KIND_BASELINE,
    KIND_OTHER,
    TAG_ATTEMPT,
    TAG_AUTOLOGGED,
    TAG_JOB_ID,
    TAG_JOB_RUN,
    TAG_MODEL_CLASS,
    TAG_MODEL_KIND,
)
from raylift.domain.identifiers import DEFAULT_WORKSPACE, MLFLOW_PARENT_RUN
from raylift.domain.models.version import LoggedModel, ModelKind, ModelVersion, TrackedRun
from raylift.domain.models.workspaces import url_in_workspace
from raylift.engines.mlflow_engine.client import ABSENT, connect, every_page, metrics_of, mlflow_errors, moment

_TAG_MODELS: Final = "mlflow.log-model.history"
"""On a run: the models that an MLflow older than 3 logged."""

_KINDS: Final = {KIND_OTHER: ModelKind.OTHER, KIND_BASELINE: ModelKind.BASELINE}


class Tracking:
    """Runs and logged models of one workspace, found by their tag with the job's id.

    Raises:
        EngineUnavailable: from every method, when MLflow does not answer.
    """

    def __init__(self, mlflow_url: str, workspace: str = DEFAULT_WORKSPACE) -> None:
        self._server_url = mlflow_url
        self._workspace = workspace
        self._others: dict[str, Tracking] = {}
        self._url = url_in_workspace(mlflow_url, workspace)
        self._client: MlflowClient = connect(self._url)
        self._experiments: dict[str, str] = {}
        """Name → id, as of the last listing."""

    def of(self, workspace: str) -> Tracking:
        """Return the runs and logged models of a workspace: the same object each time, which knows its experiments."""
        if workspace == self._workspace:
            return self
        if workspace not in self._others:
            self._others[workspace] = Tracking(self._server_url, workspace)
        return self._others[workspace]

    def experiment_id(self, name: str) -> str | None:
        known = self._experiments.get(name)
        if known is not None:
            return known
        with mlflow_errors():
            experiment = self._client.get_experiment_by_name(name)
        return experiment.experiment_id if experiment else None

    def runs_of_job(self, job_id: str) -> list[TrackedRun]:
        """Every run that the job made, in any experiment, oldest first."""
        with mlflow_errors():
            experiments = self._experiment_ids()
            pages = every_page(
                lambda token: self._client.search_runs(
                    experiments, filter_string=f"tags.`{TAG_JOB_ID}` = '{job_id}'", max_results=1000, page_token=token
                )
            )
            found = [_tracked_run(item) for item in pages]
        return sorted(found, key=lambda run: run.started_at)

    def add_params(self, run_id: str, params: Mapping[str, str]) -> None:
        """Log parameters to a run. Those that it has already stay as they are."""
        with mlflow_errors():
            logged = self._client.get_run(run_id).data.params
            missing = [Param(name, value) for name, value in params.items() if name not in logged]
            if missing:
                self._client.log_batch(run_id, params=missing)

    def add_metrics(self, run_id: str, metrics: Mapping[str, float]) -> None:
        """Log metrics to a run. The caller has checked that it has none of these names."""
        at = int(datetime.now(UTC).timestamp() * 1000)
        with mlflow_errors():
            self._client.log_batch(run_id, metrics=[Metric(name, value, at, 0) for name, value in metrics.items()])

    def end_run(self, run_id: str, status: str) -> None:
        """End a run, or correct how it ended: FINISHED, FAILED or KILLED."""
        with mlflow_errors():
            self._client.set_terminated(run_id, status)

    def job_of_run(self, run_id: str) -> str | None:
        """The job that made a run; None if no job made it, or if the run is gone."""
        with mlflow_errors(ignore=ABSENT):
            return self._client.get_run(run_id).data.tags.get(TAG_JOB_ID)
        return None

    def logged_models_of_job(self, job_id: str, runs: Iterable[TrackedRun]) -> list[LoggedModel]:
        """Every complete model that the job logged, in a run or outside of any, oldest first."""
        run_ids = {run.run_id for run in runs}
        with mlflow_errors():
            experiments = self._experiment_ids()
            by_tag = self._search_models(experiments, f"tags.`{TAG_JOB_ID}` = '{job_id}'")
            by_run = [model for run_id in run_ids for model in self._search_models(experiments, f"source_run_id = '{run_id}'")]
            ready = {item.model_id: _logged_model(item) for item in [*by_tag, *by_run] if str(item.status) == "READY"}
            found = list(ready.values()) or [
                model for run_id in run_ids for model in _models_in_run(self._client.get_run(run_id))
            ]
        return sorted(found, key=lambda model: model.created_at)

    def requirements_of(self, version: ModelVersion) -> list[str]:
        """The lines of the version's requirements.txt; none if it has no such file."""
        lines: list[str] = []
        # MLflow raises OSError for a missing file.
        with suppress(OSError), mlflow_errors(ignore=ABSENT):
            path = mlflow.artifacts.download_artifacts(
                artifact_uri=f"{version.uri}/requirements.txt", tracking_uri=self._url, registry_uri=self._url
            )
            lines = Path(path).read_text(encoding="utf-8").splitlines()
        return lines

    def _experiment_ids(self) -> list[str]:
        pages = every_page(lambda token: self._client.search_experiments(max_results=1000, page_token=token))
        self._experiments = {item.name: item.experiment_id for item in pages}
        return list(self._experiments.values())

    def _search_models(self, experiments: list[str], filter_string: str) -> list[Any]:
        return list(
            every_page(
                lambda token: self._client.search_logged_models(
                    experiment_ids=experiments, filter_string=filter_string, page_token=token
                )
            )
        )


def _tracked_run(item: Any) -> TrackedRun:
    metrics = metrics_of(item)
    return TrackedRun(
        run_id=item.info.run_id,
        experiment_id=item.info.experiment_id,
        started_at=moment(item.info.start_time),
        parent_run_id=item.data.tags.get(MLFLOW_PARENT_RUN),
        name=item.info.run_name or "",
        status=str(item.info.status),
        ended_at=moment(item.info.end_time) if item.info.end_time else None,
        outside=_outside(item.data.tags.get(TAG_JOB_RUN), metrics),
        metrics=metrics,
        attempt=_number(item.data.tags.get(TAG_ATTEMPT)),
    )


def _number(tag: str | None) -> int | None:
    return int(tag) if tag is not None and tag.isdecimal() else None  # The script may have overwritten it.


def _outside(tag: str | None, metrics: Mapping[str, float]) -> frozenset[str] | None:
    if tag is None:
        return None
    try:
        named = metrics if tag == ALL_METRICS else json.loads(tag)
        return frozenset(name for name in named if isinstance(name, str))
    except (ValueError, TypeError):
        return frozenset(metrics)  # The script has overwritten the tag.


def _models_in_run(run: Any) -> list[LoggedModel]:
    """Models in the tag of a run that an MLflow older than 3 made. A job may require such a version."""
    notes: list[dict[str, Any]] = json.loads(run.data.tags.get(_TAG_MODELS, "[]"))
    return [
        LoggedModel(
            model_id=None,
            name=note["artifact_path"],
            run_id=run.info.run_id,
            created_at=datetime.fromisoformat(note["utc_time_created"]).replace(tzinfo=UTC),
            uri=f"{run.info.artifact_uri}/{note['artifact_path']}",
        )
        for note in notes
    ]


def _logged_model(item: Any) -> LoggedModel:
    tags: Mapping[str, str] = item.tags or {}
    return LoggedModel(
        model_id=item.model_id,
        name=item.name,
        run_id=item.source_run_id or None,
        created_at=moment(item.creation_timestamp),
        uri=item.model_uri,
        classes=tuple(filter(None, tags.get(TAG_MODEL_CLASS, "").split(CLASS_SEPARATOR))),
        kind=_KINDS.get(tags.get(TAG_MODEL_KIND, ""), ModelKind.PREDICTOR),
        autologged=tags.get(TAG_AUTOLOGGED) == "true",
        attempt=_number(tags.get(TAG_ATTEMPT)),
    )
