"""Replicas get the environment variables of their job, except secrets, until others are set."""

from __future__ import annotations

import time
import uuid

from raylift import Client

SCRIPT = """
import mlflow

class Shows(mlflow.pyfunc.PythonModel):
    def predict(self, context, model_input, params=None):
        import os
        return [os.environ.get(name, "unset") for name in model_input["name"]]

with mlflow.start_run():
    mlflow.pyfunc.log_model(name="model", python_model=Shows())
"""
ASKED = {"name": ["SCALE", "API_TOKEN", "MODE"]}


def test_variables_of_a_job_reach_its_replicas(client: Client) -> None:
    name = f"variables-{uuid.uuid4().hex[:6]}"
    # Neither Ray nor a shell may interpret the dollar sign.
    given = {"SCALE": "$HOME ${X} 2", "API_TOKEN": "hidden"}
    job = client.train(script_content=SCRIPT, model=name, env=given, cpus=0.5, memory="1GiB")
    job.wait(240, progress=False)
    deployed = client.deployments.wait(name, job.model_version or "", timeout=240)
    assert deployed.status in {"ready", "scaled_to_zero"}, deployed.message
    assert deployed.environment == {"SCALE": "***"}
    assert client.predict(name, ASKED).predictions == ["$HOME ${X} 2", "unset", "unset"]
    client.deployments.put(name, "1", environment={"SCALE": None, "MODE": "new"})
    end = time.monotonic() + 240
    while (answer := client.predict(name, ASKED).predictions) != ["unset", "unset", "new"]:
        assert answer == ["$HOME ${X} 2", "unset", "unset"]
        assert time.monotonic() < end, "new processes did not come"
        time.sleep(0.5)
