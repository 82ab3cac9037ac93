"""Creates and ends a sweep's parent run in MLflow. The runs of its jobs are nested in it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mlflow import MlflowClient
from mlflow.entities import Metric, Param

from job_entrypoints.contract import TAG_JOB_ID
from raylift.domain.identifiers import DEFAULT_WORKSPACE, TAG_SWEEP_ID
from raylift.domain.models.version import TrackedRun
from raylift.domain.models.workspaces import url_in_workspace
from raylift.engines.mlflow_engine.client import DUPLICATE, connect, every_page, mlflow_errors, moment


class SweepRuns:
    """Parent runs of one workspace, found by their tag with the sweep's id.

    Raises:
        EngineUnavailable: From every method, when MLflow does not answer.
        MlflowRefused: MLflow refuses the call, for example because the experiment was deleted.
    """

    def __init__(self, mlflow_url: str, workspace: str = DEFAULT_WORKSPACE) -> None:
        self._server_url = mlflow_url
        self._client: MlflowClient = connect(url_in_workspace(mlflow_url, workspace))

    def of(self, workspace: str) -> SweepRuns:
        """Return the parent runs of a workspace."""
        return SweepRuns(self._server_url, workspace)

    def open(self, sweep_id: str, *, experiment_name: str, run_name: str, tags: Mapping[str, str]) -> TrackedRun:
        """Find or create the sweep's parent run."""
        experiment_id = self._experiment(experiment_name)
        if not self._parents(sweep_id, experiment_id):
            with mlflow_errors():
                self._client.create_run(experiment_id, run_name=run_name, tags={**tags, TAG_SWEEP_ID: sweep_id})
        first = self._parents(sweep_id, experiment_id)[0]
        self._delete_others(first, sweep_id)
        return first

    def close(
        self,
        run: TrackedRun,
        *,
        sweep_id: str,
        status: str,
        tags: Mapping[str, str],
        params: Mapping[str, str],
        metrics: Mapping[str, float],
    ) -> None:
        """Log to the parent run and end it. Safe to repeat.

        ``status`` is MLflow's: FINISHED, FAILED or KILLED.
        """
        self._delete_others(run, sweep_id)
        with mlflow_errors():
            at = self._client.get_run(run.run_id).info.start_time
            self._client.log_batch(
                run.run_id,
                # With a fixed time and step, a repetition logs the same points.
                metrics=[Metric(name, value, at, 0) for name, value in metrics.items()],
                params=[Param(name, value) for name, value in params.items()],
            )
            for name, value in tags.items():
                self._client.set_tag(run.run_id, name, value)
            self._client.set_terminated(run.run_id, status)

    def _experiment(self, name: str) -> str:
        with mlflow_errors():
            found = self._client.get_experiment_by_name(name)
        if found is not None:
            return found.experiment_id
        with mlflow_errors(ignore=DUPLICATE):  # A job or another sweep may have just created it.
            return self._client.create_experiment(name)
        return self._experiment(name)

    def _delete_others(self, run: TrackedRun, sweep_id: str) -> None:
        """Delete duplicates of the parent run, from requests whose answers were lost."""
        for twin in self._parents(sweep_id, run.experiment_id):
            if twin.run_id != run.run_id:
                with mlflow_errors():
                    self._client.delete_run(twin.run_id)

    def _parents(self, sweep_id: str, experiment_id: str) -> list[TrackedRun]:
        wanted = f"tags.`{TAG_SWEEP_ID}` = '{sweep_id}'"
        with mlflow_errors():
            pages = every_page(
                lambda token: self._client.search_runs(
                    [experiment_id], filter_string=wanted, max_results=1000, page_token=token
                )
            )
            # Runs of the jobs have the sweep's tag too.
            found = [_run(item) for item in pages if TAG_JOB_ID not in item.data.tags]
        return sorted(found, key=lambda run: (run.started_at, run.run_id))


def _run(item: Any) -> TrackedRun:
    return TrackedRun(item.info.run_id, item.info.experiment_id, moment(item.info.start_time))
