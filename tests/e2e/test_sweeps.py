"""Sweeps on a real platform: the best is registered exactly once despite kills; a sweep is cancelled and deleted as one."""

from __future__ import annotations

import itertools
import threading
import time
import uuid

import pytest
from mlflow import MlflowClient

from raylift import Client
from raylift.launcher.local_platform import LocalPlatform
from tests.e2e.test_killed_processes import kill

SCRIPT = """
import os
import mlflow
from sklearn.datasets import load_iris
from sklearn.linear_model import LogisticRegression
lr, depth = float(os.environ["lr"]), int(os.environ["depth"])
with mlflow.start_run():
    model = LogisticRegression(max_iter=depth * 100).fit(*load_iris(return_X_y=True))
    mlflow.log_metric("score", lr * depth)
    mlflow.sklearn.log_model(model, "model")
"""
WITH_ARGUMENTS = """
import sys
print("told", *sys.argv[1:])
"""
ENDLESS = "import time\nwhile True: time.sleep(1)"
TUNE = """
import mlflow
from ray import tune
def objective(config):
    tune.report({"score": -((config["x"] - 2) ** 2)})
results = tune.Tuner(objective, param_space={"x": tune.grid_search([0, 2])}).fit()
best = results.get_best_result("score", "max")
with mlflow.start_run():
    mlflow.log_params(best.config)
    mlflow.log_metric("score", best.metrics["score"])
"""
GRID = {"lr": [0.01, 0.1], "depth": [3, 5]}


def test_best_job_of_a_grid_is_registered_and_deployed(platform: LocalPlatform, client: Client) -> None:
    name = f"sweep-{uuid.uuid4().hex[:6]}"
    sweep = client.train(
        script_content=SCRIPT,
        model=name,
        tags={"team": "a"},
        # Else each job also logs a confusion matrix, with matplotlib.
        autolog=False,
        cpus=0.5,
        memory="512MiB",
        sweep=GRID,
        metric="score",
        register_best=True,
    )
    sweep.wait(400)
    best = sweep.best()
    assert best is not None
    assert best.parameters == {"lr": "0.1", "depth": "5"}
    assert [row["score"] for row in sweep.table()] == [0.5, 0.1 * 3, 0.05, 0.03]
    assert [row.model_version for row in sweep.view.jobs] == [None, None, None, "1"]
    versions = client.models.get(name).versions
    assert [version.lineage.job_id for version in versions] == [best.job_id]
    assert versions[0].deployment is not None
    _is_nested(platform, sweep.view.mlflow_run_id, sweep.sweep_id)
    assert [job.job_id for job in client.jobs.list(sweep=sweep.sweep_id)] == [row.job_id for row in reversed(sweep.view.jobs)]
    rerun = client.jobs.get(best.job_id).rerun()
    assert rerun.summary.sweep_id is None
    rerun.cancel()


def _is_nested(platform: LocalPlatform, parent_run_id: str | None, sweep_id: str) -> None:
    """Check the tags of MLflow's run tree, and the parameters in its comparison tables."""
    assert parent_run_id is not None
    mlflow = MlflowClient(platform.urls["mlflow"])
    parent = mlflow.get_run(parent_run_id)
    assert parent.info.status == "FINISHED"
    assert parent.data.metrics["score"] == 0.5
    assert parent.data.params == {"lr": "0.1", "depth": "5"}
    assert parent.data.tags["team"] == "a"
    found = mlflow.search_runs([parent.info.experiment_id], f"tags.`raylift.sweep_id` = '{sweep_id}'")
    children = [run for run in found if run.info.run_id != parent_run_id]
    assert {run.data.tags["mlflow.parentRunId"] for run in children} == {parent_run_id}
    assert sorted((run.data.params["lr"], run.data.params["depth"]) for run in children) == [
        ("0.01", "3"), ("0.01", "5"), ("0.1", "3"), ("0.1", "5"),
    ]  # fmt: skip
    assert {run.data.tags["raylift.sweep.lr"] for run in children} == {"0.01", "0.1"}


@pytest.mark.nightly
def test_killed_supervisor_registers_the_best_job_once(platform: LocalPlatform) -> None:
    name = f"sweep-{uuid.uuid4().hex[:6]}"
    with Client(platform.url, timeout=60) as client:
        sweep = client.train(
            script_content=SCRIPT,
            model=name,
            cpus=0.5,
            memory="512MiB",
            deploy=False,
            sweep=GRID,
            metric="score",
            mode="min",
            register_best=True,
        )
        ended = threading.Event()

        def wait() -> None:
            try:
                sweep.wait(500, raise_on_failure=False)
            finally:
                ended.set()

        waiting = threading.Thread(target=wait)
        waiting.start()
        # Kills it in any step: opening, starting jobs, choosing, registering. The pauses grow: on a slow machine, the next
        # supervisor would otherwise be killed before its predecessor's lease has expired.
        for seconds in itertools.count(4):
            if ended.wait(seconds):
                break
            kill(platform, "ray::SupervisorActor")
        waiting.join()
        sweep.refresh()
        assert (sweep.status, sweep.view.counts["completed"]) == ("completed", 4), sweep.message
        versions = client.models.get(name).versions
        best = sweep.best()
        assert best is not None
        assert (best.parameters, best.model_version) == ({"lr": "0.01", "depth": "3"}, "1")
        assert [version.lineage.job_id for version in versions] == [best.job_id]
        mlflow = MlflowClient(platform.urls["mlflow"])
        assert sweep.view.mlflow_experiment_id is not None
        runs = mlflow.search_runs([sweep.view.mlflow_experiment_id], f"tags.`raylift.sweep_id` = '{sweep.sweep_id}'")
        parents = [run for run in runs if "mlflow.parentRunId" not in run.data.tags]
        assert [(run.info.run_id, run.info.status) for run in parents] == [(sweep.view.mlflow_run_id, "FINISHED")]


def test_sweep_is_cancelled_and_deleted_as_one(client: Client) -> None:
    experiment = f"sweep-{uuid.uuid4().hex[:6]}"
    sweep = client.train(
        script_content=ENDLESS, experiment=experiment, cpus=0.5, memory="256MiB", sweep={"n": [1, 2, 3]}, max_parallel=1
    )
    first = sweep.jobs()[0]
    while first.refresh().status == "queued":
        time.sleep(0.2)
    assert [job.status for job in sweep.jobs()] == ["running", "queued", "queued"]
    sweep.cancel().wait(200, raise_on_failure=False)
    assert (sweep.status, sweep.view.counts["cancelled"]) == ("cancelled", 3)
    sweep.delete()
    assert list(client.jobs.list(experiment=experiment)) == []
    assert sweep.sweep_id not in {other.sweep_id for other in client.sweeps.list()}


# In CI, unit tests make the arguments of a sweep's jobs.
@pytest.mark.nightly
def test_sweep_parameters_are_passed_as_arguments(client: Client) -> None:
    experiment = f"sweep-{uuid.uuid4().hex[:6]}"
    sweep = client.train(
        script_content=WITH_ARGUMENTS,
        experiment=experiment,
        args=["-v"],
        cpus=0.5,
        memory="256MiB",
        sweep={"max-depth": [3, 5], "fast": [True]},
        sweep_as="arguments",
    )
    sweep.wait(200)
    said = [job.logs() for job in sweep.jobs()]
    assert said == ["told -v --max-depth 3 --fast true\n", "told -v --max-depth 5 --fast true\n"]


@pytest.mark.nightly
def test_ray_tune_runs_inside_a_job(client: Client) -> None:
    job = client.train(
        script_content=TUNE, experiment="tune", requirements=["ray[tune]"], timeout=300, isolation="cluster"
    ).wait(400, raise_on_failure=False)
    assert job.status == "completed", (job.reason, job.message, job.logs()[-2000:])
    assert job.metrics == {"score": 0.0}
