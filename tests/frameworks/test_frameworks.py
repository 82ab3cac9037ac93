"""A script of each library trains and registers a model that answers as the library does. Its environment is built once.

``make test-all`` runs these tests: they download some gigabytes. Spark needs Java.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import mlflow
import mlflow.artifacts
import numpy as np
import pytest

from raylift import Client, Job
from raylift.launcher import LocalPlatform

SCRIPTS = sorted((Path(__file__).parent / "scripts").glob("*.py"))
VARIABLES = {"keras_torch": {"KERAS_BACKEND": "torch"}}
SECONDS = 1200


@pytest.fixture(autouse=True)
def room(client: Client) -> Iterator[None]:
    """End each test's processes: together they would fill a small machine."""
    yield
    for deployment in client.deployments.list():
        client.deployments.delete(deployment.model_name, deployment.model_version)


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.stem)
def test_model_answers_as_its_library(client: Client, platform: LocalPlatform, script: Path) -> None:
    name = f"{script.stem.replace('_', '-')}-{uuid.uuid4().hex[:6]}"
    variables = VARIABLES.get(script.stem, {})
    job = completed(client.train(script, model=name, env=variables, memory="4GiB", timeout=SECONDS))
    deployed = client.deployments.wait(name, job.model_version or "", timeout=SECONDS)
    assert deployed.status in {"ready", "scaled_to_zero"}, deployed.message

    mlflow.set_tracking_uri(platform.record.mlflow_url)
    expected = mlflow.artifacts.load_dict(f"runs:/{job.mlflow_run_id}/expected.json")
    wants_probabilities = "probabilities" in expected
    answer = client.predict(name, expected["inputs"], proba=wants_probabilities, timeout=120)
    assert_alike(answer.predictions, expected["predictions"])
    if wants_probabilities:
        assert_alike(answer.probabilities, expected["probabilities"])

    again = script.read_text().partition('"""')[0] + "print('again')"
    second = completed(client.train(script_content=again, env=variables, deploy=False))
    assert built(client, second) == built(client, job)


def completed(job: Job) -> Job:
    job.wait(SECONDS + 300, progress=False, raise_on_failure=False)
    assert job.status == "completed", (job.reason, job.message, job.logs()[-3000:])
    return job


def built(client: Client, job: Job) -> tuple[Any, ...]:
    """The environment of a job, and the time it was built."""
    environment = client.environments.get(job.job_id)
    assert environment.hash is not None
    assert environment.built
    return environment.hash, environment.created_at


def assert_alike(answer: Any, expected: Any) -> None:
    """Compare numbers closely, and all else exactly. An answer may have additional fields."""
    if isinstance(expected, dict):
        for name, value in expected.items():
            assert_alike(answer[name], value)
    elif isinstance(expected, list):
        assert len(answer) == len(expected)
        for one, other in zip(answer, expected, strict=True):
            assert_alike(one, other)
    elif isinstance(expected, float):
        np.testing.assert_allclose(answer, expected, rtol=1e-5, atol=1e-7)
    else:
        assert answer == expected
