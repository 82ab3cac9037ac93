"""A webhook on a real platform: a job and its model version report to a real receiver, which verifies the signatures."""

from __future__ import annotations

import time
import uuid
from typing import Any

import pytest

from raylift import Client, InvalidRequest
from tests.webhook_receiver import Receiver, receiver

SCRIPT = """
import mlflow
from sklearn.linear_model import LinearRegression
model = LinearRegression().fit([[0.0], [1.0]], [0.0, 1.0])
mlflow.log_metric("r2", 1.0)
mlflow.sklearn.log_model(model, name="model", input_example=[[0.5]])
"""


def test_job_and_model_version_report_to_a_receiver(client: Client) -> None:
    name = f"webhook-{uuid.uuid4().hex[:6]}"
    with receiver() as found:
        made = client.webhooks.create(name, found.url, events=["job.*", "model_version.*"], models=[name])
        try:
            tested = client.webhooks.test(name)
            assert (tested.status, tested.last_status_code, tested.last_answer) == ("delivered", 200, "thanks")
            job = client.train(script_content=SCRIPT, model=name, autolog=False, cpus=0.5)
            job.wait(180)
            events = _awaited(found, made.secret or "", "model_version.ready")
        finally:
            client.webhooks.delete(name)
    about_job = [each["type"] for each in events if each["data"].get("job_id") == job.job_id and each["type"][:3] == "job"]
    assert about_job == ["job.queued", "job.running", "job.completed"]
    ended = next(each["data"] for each in events if each["type"] == "job.completed")
    assert (ended["metrics"], ended["model_version"], ended["model_name"]) == ({"r2": 1.0}, "1", name)
    of_version = [each for each in events if each["type"].startswith("model_version")]
    assert [each["type"] for each in of_version] == ["model_version.registered", "model_version.ready"]
    assert of_version[0]["data"]["job_id"] == job.job_id
    ids = [each.id for each in found.requests]
    assert len(ids) == len(set(ids))


def test_address_of_the_platforms_network_is_refused(client: Client) -> None:
    with pytest.raises(InvalidRequest, match=r"webhooks\.allowed_networks"):
        client.webhooks.create("inner", "https://10.0.0.1/hook")


def _awaited(found: Receiver, secret: str, last: str) -> list[dict[str, Any]]:
    """Return the verified events, once one of the type ``last`` has come."""
    deadline = time.monotonic() + 120
    while True:
        events = [each.verified(secret) for each in list(found.requests)]
        if any(each["type"] == last for each in events):
            return events
        assert time.monotonic() < deadline, [each["type"] for each in events]
        time.sleep(0.2)
