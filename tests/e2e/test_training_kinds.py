"""Each way to track and log a model leads to exactly one version, and the version answers."""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import pytest
from mlflow import MlflowClient

from raylift import Client, Job
from raylift.launcher.local_platform import LocalPlatform

CLASSIFIER = """
from sklearn.datasets import load_iris
from sklearn.linear_model import LogisticRegression
X, y = load_iris(return_X_y=True)
model = LogisticRegression(max_iter=500)
"""

XGBOOST = """
import numpy as np, xgboost as xgb
X = np.random.default_rng(0).normal(size=(200, 4)); y = X @ np.array([1.0, -2.0, 0.5, 0.0])
xgb.XGBRegressor(n_estimators=10).fit(X, y)
"""

LIGHTGBM = """
import numpy as np, pandas as pd, lightgbm as lgb
frame = pd.DataFrame(np.random.default_rng(0).normal(size=(300, 3)), columns=["age", "income", "tenure"])
lgb.LGBMClassifier(n_estimators=10, verbose=-1).fit(frame, (frame["age"] > 0).astype(int))
"""

SEVERAL_MODELS = (
    CLASSIFIER
    + """
import mlflow
with mlflow.start_run():
    mlflow.sklearn.log_model(model.fit(X, y), name="other")
    mlflow.log_param("which", "parent")
    with mlflow.start_run(nested=True):
        mlflow.sklearn.log_model(model.fit(X, y), name="model")
    mlflow.sklearn.log_model(model.fit(X, y), name="last")
"""
)

OWN_EXPERIMENT = (
    CLASSIFIER
    + """
import mlflow
mlflow.set_experiment("a-place-of-its-own")
for depth in (1, 2):
    with mlflow.start_run():
        mlflow.log_metric("depth", depth)
        mlflow.sklearn.log_model(model.fit(X, y), name="model")
"""
)

REGISTERS_ITSELF = (
    CLASSIFIER
    + """
import mlflow
with mlflow.start_run():
    mlflow.sklearn.log_model(model.fit(X, y), name="model", registered_model_name=%r)
"""
)

PYFUNC = """
import mlflow

class Doubler(mlflow.pyfunc.PythonModel):
    def predict(self, context, model_input, params=None):
        return model_input * 2

with mlflow.start_run():
    mlflow.pyfunc.log_model(name="model", python_model=Doubler())
"""

CLIENT_ONLY = """
from mlflow import MlflowClient
client = MlflowClient()
run = client.create_run(client.get_experiment_by_name("kinds").experiment_id if client.get_experiment_by_name("kinds") else "0")
client.log_metric(run.info.run_id, "made_by_client", 1.0)
client.set_terminated(run.info.run_id)
"""

DOES_NOT_LOAD = """
import mlflow, os, pathlib, sys
module = pathlib.Path("only_in_the_job.py"); module.write_text("class Thing: pass")
sys.path.insert(0, os.getcwd())
import only_in_the_job

class Model(mlflow.pyfunc.PythonModel):
    thing = only_in_the_job.Thing()
    def predict(self, context, model_input, params=None):
        return self.thing
model = Model(); model.held = only_in_the_job.Thing()
with mlflow.start_run():
    mlflow.pyfunc.log_model(name="model", python_model=model)
"""

FAILS = "import mlflow\nmlflow.log_metric('loss', 3.0)\nraise ValueError('it does not converge')"

NO_MODEL = "import mlflow\nwith mlflow.start_run(): mlflow.log_metric('loss', 0.5)"


@dataclass(frozen=True)
class Kinds:
    """Jobs by kind, all submitted at once."""

    client: Client
    jobs: Mapping[str, Job]
    suffix: str

    def model(self, kind: str) -> str:
        return f"{kind}-{self.suffix}"

    def ended(self, kind: str) -> Job:
        return self.jobs[kind].wait(240, progress=False, raise_on_failure=False)

    def completed(self, kind: str) -> Job:
        job = self.ended(kind)
        assert job.status == "completed", (job.reason, job.message, job.logs()[-2000:])
        return job


@pytest.fixture(scope="module")
def kinds(platform: LocalPlatform) -> Iterator[Kinds]:
    suffix = uuid.uuid4().hex[:6]
    itself = f"itself-{suffix}"
    scripts: dict[str, str] = {
        "xgboost": XGBOOST,
        "lightgbm": LIGHTGBM,
        "several": SEVERAL_MODELS,
        "experiment": OWN_EXPERIMENT,
        "itself": REGISTERS_ITSELF % itself,
        "pyfunc": PYFUNC,
        "none": NO_MODEL,
        "fails": FAILS,
        "broken": DOES_NOT_LOAD,
        "undeployed": CLASSIFIER + "model.fit(X, y)",
        "client": CLIENT_ONLY,
    }
    options: dict[str, dict[str, Any]] = {
        "undeployed": {"deploy": False},
        "client": {"model": None},
        "fails": {"params": {"rate": 10}},
    }
    with Client(platform.url, timeout=120) as client:
        jobs: dict[str, Job] = {}
        for kind, script in scripts.items():
            chosen: dict[str, Any] = {"model": f"{kind}-{suffix}", **options.get(kind, {})}
            jobs[kind] = client.train(script_content=script, experiment="kinds", cpus=0.5, memory="1GiB", **chosen)
        yield Kinds(client, jobs, suffix)


def test_plain_xgboost_script_becomes_a_regressor_that_answers(kinds: Kinds) -> None:
    job = kinds.completed("xgboost")
    assert job.model_version == "1"
    prediction = kinds.client.predict(kinds.model("xgboost"), [[1.0, 1.0, 1.0, 1.0]])
    assert isinstance(prediction.predictions[0], float)


def test_plain_lightgbm_script_answers_with_probabilities_by_name(kinds: Kinds) -> None:
    kinds.completed("lightgbm")
    rows = {"tenure": [0.0, 0.0], "age": [2.0, -2.0], "income": [0.0, 0.0]}
    prediction = kinds.client.predict(kinds.model("lightgbm"), rows, proba=True)
    assert prediction.predictions == [1, 0]
    assert prediction.probabilities is not None
    assert all(abs(sum(row) - 1) < 1e-9 for row in prediction.probabilities)
    assert prediction.classes == [0, 1]


def test_model_called_model_is_registered_among_several(kinds: Kinds) -> None:
    job = kinds.completed("several")
    assert job.model_version == "1"
    assert "'model'" in (job.message or "")


def test_runs_in_another_experiment_are_found(kinds: Kinds) -> None:
    job = kinds.completed("experiment")
    assert job.model_version == "1"
    assert job.metrics["depth"] == 2.0


def test_version_registered_by_the_script_is_adopted(kinds: Kinds) -> None:
    job = kinds.completed("itself")
    assert job.model_version == "1"
    versions = kinds.client.models.get(kinds.model("itself")).versions
    assert [version.model_version for version in versions] == ["1"]
    assert versions[0].lineage.job_id == job.job_id


def test_pyfunc_model_answers(kinds: Kinds) -> None:
    kinds.completed("pyfunc")
    assert kinds.client.predict(kinds.model("pyfunc"), {"a": [1.0, 2.0]}).predictions


def test_run_made_with_the_client_belongs_to_the_job(kinds: Kinds) -> None:
    job = kinds.completed("client")
    assert job.model_version is None
    assert job.metrics == {"made_by_client": 1.0}


def test_job_without_a_model_fails_and_says_how_to_log_one(kinds: Kinds) -> None:
    job = kinds.ended("none")
    assert (job.status, job.reason) == ("failed", "no_model_logged")
    assert "log_model" in (job.message or "")
    assert job.metrics == {"loss": 0.5}


def test_failed_job_shows_its_metrics(kinds: Kinds, platform: LocalPlatform) -> None:
    job = kinds.ended("fails")
    assert (job.status, dict(job.metrics)) == ("failed", {"loss": 3.0})
    run = MlflowClient(platform.record.mlflow_url).get_run(job.mlflow_run_id or "")
    assert (run.info.status, run.data.params) == ("FAILED", {"rate": "10"})


def test_version_of_a_job_without_deploy_can_be_deployed_later(kinds: Kinds) -> None:
    kinds.completed("undeployed")
    name = kinds.model("undeployed")
    assert kinds.client.deployments.get(name, 1).status == "stopped"
    assert kinds.client.deployments.put(name, 1, min_replicas=0).status in {"pending", "starting"}
    assert kinds.client.predict(name, [[5.1, 3.5, 1.4, 0.2]]).predictions == [0]


def test_model_that_does_not_load_is_unhealthy_with_the_reason(kinds: Kinds) -> None:
    kinds.completed("broken")
    deployment = settled(kinds.client, kinds.model("broken"))
    assert deployment.status == "unhealthy"
    assert "only_in_the_job" in (deployment.message or "")


def settled(client: Client, name: str, seconds: float = 120) -> Any:
    """The deployment of version 1, once it is neither pending nor starting."""
    end = time.monotonic() + seconds
    while True:
        deployment = client.deployments.get(name, 1)
        if deployment.status not in {"pending", "starting"} or time.monotonic() > end:
            return deployment
        time.sleep(0.5)
