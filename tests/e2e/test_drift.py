"""A version on a real platform is trained, answers other data than it was trained on, and an alert reaches a receiver."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from raylift import Client
from tests.webhook_receiver import receiver

SCRIPT = """
import mlflow, numpy as np, pandas as pd
from sklearn.linear_model import LogisticRegression
random = np.random.default_rng(0)
frame = pd.DataFrame({"age": random.normal(40, 10, 2000), "income": random.lognormal(10, 1, 2000)})
model = LogisticRegression().fit(frame, frame["age"] > 45)
mlflow.sklearn.log_model(model, name="model")
"""
WINDOW_SECONDS = 10


def until(condition: Callable[[], object]) -> None:
    """Poll until the condition holds. The time limit of the test bounds it."""
    while not condition():
        time.sleep(0.2)


def test_shifted_requests_raise_an_alert(client: Client) -> None:
    name = f"watched-{uuid.uuid4().hex[:6]}"
    client.train(script_content=SCRIPT, model=name, autolog=False, cpus=0.5).wait(180)
    random = np.random.default_rng(1)
    with receiver() as found:
        secret = client.webhooks.create(name, found.url, events=["monitor.*"], models=[name]).secret or ""
        try:
            client.monitors.set(name, 1, window_seconds=WINDOW_SECONDS, minimum_rows=50)

            def predict() -> bool:
                frame = pd.DataFrame({"age": random.normal(52, 8, 50), "income": random.lognormal(10, 1, 50)})
                client.predict(name, frame)
                return bool(found.requests)

            until(predict)
        finally:
            client.webhooks.delete(name)
    event = found.requests[0].verified(secret)
    assert event["type"] == "monitor.alert"
    assert event["data"]["model_name"] == name
    assert {(each["feature"], each["check"]) for each in event["data"]["raised"]} == {("age", "drift")}
    monitor = client.monitors.get(name, 1)
    assert (monitor.status, [alert.feature for alert in monitor.open_alerts]) == ("watching", ["age"])
    assert monitor.reference is not None
    assert (monitor.reference.rows, monitor.reference.has_answers) == (2000, True)
    window = monitor.windows[0]
    assert 50 <= window.rows_sketched <= window.rows_seen
    assert len(list(client.monitors.alerts(name, 1))) == 1


def test_wrong_answers_raise_an_alert_of_quality(client: Client) -> None:
    name = f"judged-{uuid.uuid4().hex[:6]}"
    client.train(script_content=SCRIPT, model=name, autolog=False, cpus=0.5).wait(180)
    client.deployments.put(name, 1, min_replicas=1, payload_log={"sample_rate": 1.0})
    settings = {"minimum_feedback": 20, "minimum_accuracy": 0.9, "minimum_volume": 1}
    client.monitors.set(name, 1, window_seconds=WINDOW_SECONDS, consecutive_windows=1, minimum_rows=1000, **settings)
    random = np.random.default_rng(1)

    def predict() -> bool:
        frame = pd.DataFrame({"age": random.normal(40, 10, 50), "income": random.lognormal(10, 1, 50)})
        answer = client.predict(name, frame)
        wrong = [not value for value in answer.predictions]
        client.models.send_feedback(name, 1, {str(answer.request_id): wrong})
        return any(alert.check == "accuracy" for alert in client.monitors.alerts(name, 1))

    until(predict)
    alert = next(alert for alert in client.monitors.alerts(name, 1) if alert.check == "accuracy")
    assert (alert.value, alert.limit, alert.feature) == (0.0, 0.9, "answer")
    window = next(window for window in client.monitors.quality(name, 1) if window.scores)
    assert window.scores[0].quality.accuracy == 0.0
    assert window.rows > 0
    # Then nothing asks any more.
    until(lambda: any(alert.check == "volume" for alert in client.monitors.alerts(name, 1)))


@pytest.mark.nightly
@pytest.mark.timeout(900)
def test_report_of_evidently_is_an_artifact_of_its_run(client: Client, tmp_path: Path) -> None:
    name = f"reported-{uuid.uuid4().hex[:6]}"
    client.train(script_content=SCRIPT, model=name, autolog=False, cpus=0.5).wait(180)
    client.deployments.put(name, 1, min_replicas=1, payload_log={"sample_rate": 1.0})
    random = np.random.default_rng(1)
    reference = pd.DataFrame({"age": random.normal(40, 10, 400), "income": random.lognormal(10, 1, 400)})
    reference.to_parquet(tmp_path / "train.parquet")
    client.datasets.add(name, tmp_path / "train.parquet")
    for _ in range(6):
        client.predict(name, pd.DataFrame({"age": random.normal(60, 10, 50), "income": random.lognormal(10, 1, 50)}))
    time.sleep(2)
    report = client.monitors.report(name, 1, since=timedelta(hours=1), reference=name)
    client.jobs.get(report.job_id).wait(600)
    (found,) = client.monitors.reports(name, 1)
    assert (found.job_id, found.status, found.reference) == (report.job_id, "completed", name)
    assert found.run_id is not None
    metrics = client.jobs.get(report.job_id).metrics
    assert (metrics["rows"], metrics["reference_rows"], metrics["columns"], metrics["drifted_columns"]) == (300, 400, 2, 1)
