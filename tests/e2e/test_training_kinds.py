"""Each way to track and log a model leads to exactly one version, and the version answers."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import pytest

from raylift import Client
from raylift.launcher.local_platform import LocalPlatform
from tests.e2e.kinds import CLASSIFIER, Kinds, submitted

XGBOOST = """
import numpy as np, xgboost as xgb
X = np.random.default_rng(0).normal(size=(200, 4)); y = X @ np.array([1.0, -2.0, 0.5, 0.0])
xgb.XGBRegressor(n_estimators=10).fit(X, y)
"""

PYFUNC = """
import mlflow

class Doubler(mlflow.pyfunc.PythonModel):
    def predict(self, context, model_input, params=None):
        return model_input * 2

with mlflow.start_run():
    mlflow.pyfunc.log_model(name="model", python_model=Doubler())
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

NO_MODEL = "import mlflow\nwith mlflow.start_run(): mlflow.log_metric('loss', 0.5)"


@pytest.fixture(scope="module")
def kinds(platform: LocalPlatform) -> Iterator[Kinds]:
    scripts = {
        "xgboost": XGBOOST,
        "pyfunc": PYFUNC,
        "none": NO_MODEL,
        "broken": DOES_NOT_LOAD,
        "undeployed": CLASSIFIER + "model.fit(X, y)",
    }
    with Client(platform.url, timeout=120) as client:
        yield submitted(client, scripts, {"undeployed": {"deploy": False}})


def test_plain_xgboost_script_becomes_a_regressor_that_answers(kinds: Kinds) -> None:
    job = kinds.completed("xgboost")
    assert job.model_version == "1"
    prediction = kinds.client.predict(kinds.model("xgboost"), [[1.0, 1.0, 1.0, 1.0]])
    assert isinstance(prediction.predictions[0], float)


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
