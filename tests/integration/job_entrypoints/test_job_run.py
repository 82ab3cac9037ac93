"""The job's run in a real MLflow: values logged outside of own runs belong to one run, which ends with the script."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from mlflow.tracking import MlflowClient

DATA = (
    "import mlflow\nimport numpy as np\nfrom sklearn.linear_model import LogisticRegression\n"
    "X, y = np.random.rand(60, 3), np.arange(60) % 2\n"
)
FIT = "LogisticRegression().fit(X, y)\n"
PARENT = "mlflow.parentRunId"


@pytest.fixture
def runs_of(start: Callable[..., Any], mlflow_url: str) -> Callable[..., tuple[Any, list[Any]]]:
    """Run a script. Returns its result and its runs, oldest first."""

    def run_and_search(source: str, **overrides: Any) -> tuple[Any, list[Any]]:
        result = start(source, mlflow_url=mlflow_url, autolog=True, memory_bytes=2 << 30, **overrides).wait(300)
        client = MlflowClient(mlflow_url)
        experiments = [experiment.experiment_id for experiment in client.search_experiments()]
        tag = f"tags.`raylift.job_id` = '{result.directory.name.removesuffix('-a1')}'"
        return result, sorted(client.search_runs(experiments, tag), key=lambda found: found.info.start_time)

    return run_and_search


def test_metric_logged_after_a_fit_is_in_the_job_s_run(runs_of: Callable[..., Any]) -> None:
    result, (only,) = runs_of(
        DATA
        + FIT
        + "mlflow.log_metric('auc', 0.75)\nmlflow.log_metrics({'f1': 0.5})\nprint('active', mlflow.active_run().info.run_id)"
    )
    assert result.exit_code == 0, result.output
    assert "[raylift]" not in result.output
    assert only.data.metrics["auc"] == 0.75
    assert "training_accuracy_score" in only.data.metrics
    assert only.data.params["C"] == "1.0"
    assert only.info.status == "FINISHED"
    assert sorted(json.loads(only.data.tags["raylift.job_run"])) == ["auc", "f1"]
    assert f"active {only.info.run_id}" in result.output


def test_further_fits_have_child_runs_of_the_job_s_run(runs_of: Callable[..., Any]) -> None:
    result, (job, second, third) = runs_of(
        DATA
        + "mlflow.log_metric('rows', 60)\nmlflow.log_param('data', 'v1')\n"
        + FIT
        + "LogisticRegression(C=2.0).fit(X, y)\nmlflow.log_metric('auc', 0.75)\n"
        + "from sklearn.decomposition import PCA\nPCA(2).fit(X)\nprint('last', mlflow.last_active_run().info.run_id)"
    )
    assert result.exit_code == 0, result.output
    assert "Changing param values" not in result.output
    assert "[raylift]" not in result.output
    assert (job.data.metrics["rows"], job.data.metrics["auc"], job.data.params["data"]) == (60, 0.75, "v1")
    assert (job.data.params["C"], second.data.params["C"]) == ("1.0", "2.0")
    assert third.data.params["n_components"] == "2"
    assert {run.data.tags[PARENT] for run in (second, third)} == {job.info.run_id}
    assert sorted(json.loads(job.data.tags["raylift.job_run"])) == ["auc", "rows"]
    assert {run.info.status for run in (job, second, third)} == {"FINISHED"}


def test_values_logged_outside_of_own_runs_are_in_the_job_s_run(runs_of: Callable[..., Any]) -> None:
    result, (own, job) = runs_of(
        DATA + "with mlflow.start_run(run_name='own'):\n    " + FIT + "    mlflow.log_metric('inside', 1)\n"
        "mlflow.log_metric('auc', 0.75)\n",
    )
    assert result.exit_code == 0, result.output
    assert (own.info.run_name, "raylift.job_run" in own.data.tags) == ("own", False)
    assert "auc" not in own.data.metrics
    assert (dict(job.data.metrics), job.data.tags["raylift.job_run"]) == ({"auc": 0.75}, "*")


def test_threads_log_into_the_job_s_run(runs_of: Callable[..., Any]) -> None:
    script = "from threading import Thread\nt = Thread(target=mlflow.log_metric, args=('auc', 0.75))\nt.start()\nt.join()\n"
    result, (only,) = runs_of(DATA + FIT + script)
    assert result.exit_code == 0, result.output
    assert only.data.metrics["auc"] == 0.75


def test_another_experiment_has_another_job_s_run(runs_of: Callable[..., Any]) -> None:
    result, runs = runs_of(DATA + FIT + "mlflow.set_experiment('elsewhere too')\nmlflow.log_metric('auc', 0.75)\n")
    assert result.exit_code == 0, result.output
    assert [("auc" in run.data.metrics, PARENT in run.data.tags) for run in runs] == [(False, False), (True, False)]


@pytest.mark.parametrize(
    "ending",
    [
        "mlflow.start_run()\nmlflow.log_param('lr', 0.1)\nraise ValueError('half way')",
        pytest.param("mlflow.start_run()\nimport sys; sys.exit('accuracy 0.4 < 0.8')", marks=pytest.mark.nightly),
        "mlflow.start_run()\nmlflow.start_run(nested=True)\nraise KeyError('nested')",
        pytest.param(FIT + "raise ValueError('after the fit')", marks=pytest.mark.nightly),
        FIT + "mlflow.log_metric('auc', 0.5)\nimport sys; sys.exit(3)",
    ],
)
def test_open_runs_of_a_failing_script_fail(ending: str, runs_of: Callable[..., Any]) -> None:
    result, runs = runs_of(DATA + ending)
    assert result.exit_code in {1, 3}
    assert {run.info.status for run in runs} == {"FAILED"}, result.output
    assert "View" not in (result.progress["message"] or "")
