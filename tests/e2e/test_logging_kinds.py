"""Further ways to track and log a model. Nightly: the wrapper's part and the choice of the model have tests of their own."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from mlflow import MlflowClient

from raylift import Client
from raylift.launcher.local_platform import LocalPlatform
from tests.e2e.kinds import CLASSIFIER, Kinds, submitted

pytestmark = pytest.mark.nightly

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
    mlflow.sklearn.log_model(model.fit(X, y), name="model", registered_model_name="{model}")
"""
)

CLIENT_ONLY = """
from mlflow import MlflowClient
client = MlflowClient()
run = client.create_run(client.get_experiment_by_name("kinds").experiment_id if client.get_experiment_by_name("kinds") else "0")
client.log_metric(run.info.run_id, "made_by_client", 1.0)
client.set_terminated(run.info.run_id)
"""

FAILS = "import mlflow\nmlflow.log_metric('loss', 3.0)\nraise ValueError('it does not converge')"


PYFUNC = """
import mlflow

class Doubler(mlflow.pyfunc.PythonModel):
    def predict(self, context, model_input, params=None):
        return model_input * 2

with mlflow.start_run():
    mlflow.pyfunc.log_model(name="model", python_model=Doubler())
"""

NO_MODEL = "import mlflow\nwith mlflow.start_run(): mlflow.log_metric('loss', 0.5)"


@pytest.fixture(scope="module")
def kinds(platform: LocalPlatform) -> Iterator[Kinds]:
    scripts = {
        "lightgbm": LIGHTGBM,
        "several": SEVERAL_MODELS,
        "experiment": OWN_EXPERIMENT,
        "itself": REGISTERS_ITSELF,
        "fails": FAILS,
        "client": CLIENT_ONLY,
        "pyfunc": PYFUNC,
        "none": NO_MODEL,
        "undeployed": CLASSIFIER + "model.fit(X, y)",
    }
    with Client(platform.url, timeout=120) as client:
        options: dict[str, dict[str, Any]] = {
            "client": {"model": None},
            "fails": {"params": {"rate": 10}},
            "undeployed": {"deploy": False},
        }
        yield submitted(client, scripts, options)


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


def test_run_made_with_the_client_belongs_to_the_job(kinds: Kinds) -> None:
    job = kinds.completed("client")
    assert job.model_version is None
    assert job.metrics == {"made_by_client": 1.0}


def test_failed_job_shows_its_metrics(kinds: Kinds, platform: LocalPlatform) -> None:
    job = kinds.ended("fails")
    assert (job.status, dict(job.metrics)) == ("failed", {"loss": 3.0})
    run = MlflowClient(platform.record.mlflow_url).get_run(job.mlflow_run_id or "")
    assert (run.info.status, run.data.params) == ("FAILED", {"rate": "10"})


def test_pyfunc_model_answers(kinds: Kinds) -> None:
    kinds.completed("pyfunc")
    assert kinds.client.predict(kinds.model("pyfunc"), {"a": [1.0, 2.0]}).predictions


def test_job_without_a_model_fails_and_says_how_to_log_one(kinds: Kinds) -> None:
    job = kinds.ended("none")
    assert (job.status, job.reason) == ("failed", "no_model_logged")
    assert "log_model" in (job.message or "")
    assert job.metrics == {"loss": 0.5}


def test_version_of_a_job_without_deploy_can_be_deployed_later(kinds: Kinds) -> None:
    kinds.completed("undeployed")
    name = kinds.model("undeployed")
    assert kinds.client.deployments.get(name, 1).status == "stopped"
    assert kinds.client.deployments.put(name, 1, min_replicas=0).status in {"pending", "starting"}
    assert kinds.client.predict(name, [[5.1, 3.5, 1.4, 0.2]]).predictions == [0]
