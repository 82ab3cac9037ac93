"""Reads the parameters and metric curves of a job's run."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from mlflow import MlflowClient
from mlflow.utils.credentials import get_default_host_creds
from mlflow.utils.rest_utils import http_request, verify_rest_response

from job_entrypoints.contract import TAG_JOB_ID
from raylift.domain.models.run_history import MetricPoint, RunHistory
from raylift.engines.mlflow_engine.client import ABSENT, as_logged, mlflow_errors, moment

_CURVE: Final = "/ajax-api/2.0/mlflow/metrics/get-history-bulk-interval"
"""MLflow samples here, at the server, as for its own pages: a curve may have a million steps."""
_MOST_METRICS: Final = 24


def read_history(
    client: MlflowClient,
    mlflow_url: str,
    *,
    job_id: str,
    run_id: str | None,
    experiment: str,
    names: Sequence[str],
    points: int,
) -> RunHistory | None:
    """Read the run, or the newest one that carries the job's id. Returns None where there is none yet.

    Raises:
        EngineUnavailable: MLflow does not answer.
    """
    with mlflow_errors(ignore=ABSENT):
        run: Any = client.get_run(run_id) if run_id else _newest_run(client, job_id, experiment)
        if run is None:
            return None
        wanted = [name for name in sorted(run.data.metrics) if not names or name in names]
        curves = {name: _curve(mlflow_url, run.info.run_id, name, points) for name in wanted[:_MOST_METRICS]}
        return RunHistory(run.info.run_id, dict(run.data.params), curves, wanted[_MOST_METRICS:])
    return None


def _newest_run(client: MlflowClient, job_id: str, experiment: str) -> Any:
    found = client.get_experiment_by_name(experiment)
    if found is None:
        return None
    runs = client.search_runs(
        [found.experiment_id], f"tags.`{TAG_JOB_ID}` = '{job_id}'", max_results=1, order_by=["attributes.start_time DESC"]
    )
    return runs[0] if runs else None


def _curve(mlflow_url: str, run_id: str, name: str, points: int) -> list[MetricPoint]:
    asked = {"run_ids": run_id, "metric_key": name, "max_results": points}
    answer = verify_rest_response(http_request(get_default_host_creds(mlflow_url), _CURVE, "GET", params=asked), _CURVE)
    return [
        MetricPoint(int(point.get("step", 0)), moment(point["timestamp"]), as_logged(float(point["value"])))
        for point in answer.json().get("metrics", ())
    ]
