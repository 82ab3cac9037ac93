"""A version that MLflow's own client registered, without a job: it is found, deployed, and answers by alias too."""

from __future__ import annotations

import subprocess
import sys
import time
import uuid

import pytest

from raylift import Client, InvalidRequest, NotFound, Prediction, Unavailable
from raylift.launcher.local_platform import LocalPlatform

REGISTER = """
import sys, mlflow
from mlflow import MlflowClient
from sklearn.datasets import load_diabetes
from sklearn.linear_model import Ridge

url, name = sys.argv[1:]
mlflow.set_tracking_uri(url)
frame = load_diabetes(as_frame=True)
with mlflow.start_run():
    mlflow.sklearn.log_model(
        Ridge().fit(frame.data, frame.target), name="model", registered_model_name=name,
        input_example=frame.data.head(2), pip_requirements=["scikit-learn"],
    )
MlflowClient().set_registered_model_alias(name, "champion", "1")
"""


@pytest.mark.nightly
def test_version_registered_with_mlflow_client_is_deployed(platform: LocalPlatform) -> None:
    name = f"elsewhere-{uuid.uuid4().hex[:6]}"
    command = [sys.executable, "-c", REGISTER, platform.record.mlflow_url, name]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    columns = ["age", "sex", "bmi", "bp", "s1", "s2", "s3", "s4", "s5", "s6"]
    with Client(platform.url, timeout=120) as client:
        rows = [dict.fromkeys(columns, 0.0)]
        prediction = predicted(client, name, rows)
        assert prediction.model_version == "1"
        assert client.predict(name, rows, alias="champion").predictions == prediction.predictions
        version = client.models.version(name, 1)
        assert version.lineage.job_id is None
        with pytest.raises(InvalidRequest) as refused:
            client.predict(name, [{"age": 0.0, "colour": "red"}])
        assert "colour" in str(refused.value.errors)
        assert "bmi" in str(refused.value.errors)


def predicted(client: Client, name: str, rows: list[dict[str, float]]) -> Prediction:
    """Predict as soon as the supervisor has found the version."""
    end = time.monotonic() + 60
    while True:
        try:
            return client.predict(name, rows)
        except (NotFound, Unavailable):
            assert time.monotonic() < end, "the version was not found"
            time.sleep(0.5)
