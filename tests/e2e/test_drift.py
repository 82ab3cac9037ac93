"""A version on a real platform is trained, answers other data than it was trained on, and an alert reaches a receiver."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable

import numpy as np
import pandas as pd

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
