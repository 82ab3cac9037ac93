"""A plain script becomes a version that answers, and one that cannot load says why. More kinds: ``test_logging_kinds.py``."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import pytest

from raylift import Client
from raylift.launcher.local_platform import LocalPlatform
from tests.e2e.kinds import Kinds, submitted

XGBOOST = """
import numpy as np, xgboost as xgb
X = np.random.default_rng(0).normal(size=(200, 4)); y = X @ np.array([1.0, -2.0, 0.5, 0.0])
xgb.XGBRegressor(n_estimators=10).fit(X, y)
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


@pytest.fixture(scope="module")
def kinds(platform: LocalPlatform) -> Iterator[Kinds]:
    scripts = {
        "xgboost": XGBOOST,
        "broken": DOES_NOT_LOAD,
    }
    with Client(platform.url, timeout=120) as client:
        yield submitted(client, scripts, {})


def test_plain_xgboost_script_becomes_a_regressor_that_answers(kinds: Kinds) -> None:
    job = kinds.completed("xgboost")
    assert job.model_version == "1"
    prediction = kinds.client.predict(kinds.model("xgboost"), [[1.0, 1.0, 1.0, 1.0]])
    assert isinstance(prediction.predictions[0], float)


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
