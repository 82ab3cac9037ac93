"""A model name moves from one version to the next, and a notebook trains the first one, on a real platform."""

from __future__ import annotations

import json
import math
import time
import uuid
from collections.abc import Callable
from pathlib import Path

import pytest
from mlflow import MlflowClient

from raylift import Client
from raylift.launcher.local_platform import LocalPlatform

CELLS = [
    "%matplotlib inline\nimport math, os, mlflow",
    "from sklearn.datasets import load_diabetes\nfrom sklearn.dummy import DummyRegressor",
    "frame = load_diabetes(as_frame=True)\nanswer = float(os.environ['ANSWER'])",
    "model = DummyRegressor(strategy='constant', constant=answer).fit(frame.data[['age']], frame.target)\n"
    "with mlflow.start_run():\n"
    "    mlflow.log_metrics({'auc': math.nan, 'f1': 0.75})\n"
    "    mlflow.sklearn.log_model(model, name='model', pip_requirements=['scikit-learn'])",
    "if os.environ.get('FAIL'):\n    raise ValueError('told to fail')",
]


def patiently(condition: Callable[[], bool]) -> None:
    until = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < until, "it did not come about"
        time.sleep(0.2)


@pytest.mark.nightly
def test_rerun_takes_over_only_if_it_is_asked_to(platform: LocalPlatform, client: Client, tmp_path: Path) -> None:
    name = f"succession-{uuid.uuid4().hex[:8]}"
    notebook = tmp_path / "analysis.ipynb"
    cells = [{"cell_type": "code", "source": cell, "outputs": [], "metadata": {}} for cell in CELLS]
    notebook.write_text(json.dumps({"cells": cells, "metadata": {}, "nbformat": 4, "nbformat_minor": 4}))

    first = client.train(notebook, model=name, params={"ANSWER": 1}, cpus=0.5).wait(timeout=240, progress=False)
    assert "no version answered them before" in (first.message or "")
    assert (math.isnan(first.metrics["auc"]), first.metrics["f1"]) == (True, 0.75)
    assert client.deployments.wait(name, 1, timeout=240).status in ("ready", "scaled_to_zero")
    assert client.predict(name, [{"age": 0.1}], timeout=120).predictions == [1.0]

    held = first.rerun(params={"ANSWER": 2}).wait(timeout=240, progress=False)
    assert "go on to version 1" in (held.message or "")
    assert client.deployments.wait(name, 2, timeout=240).status in ("ready", "scaled_to_zero")
    assert [seen.model_version for seen in client.traffic.get(name).versions] == ["1"]
    assert client.predict(name, [{"age": 0.1}], timeout=120).model_version == "1"
    assert client.predict(name, [{"age": 0.1}], version=2, timeout=120).predictions == [2.0]
    assert [(item.name, item.first, item.second) for item in client.jobs.diff(first, held).params] == [("ANSWER", "1", "2")]
    mlflow = MlflowClient(platform.record.mlflow_url)
    assert mlflow.get_run(held.mlflow_run_id or "").data.params["ANSWER"] == "2"

    taking = first.rerun(params={"ANSWER": 3}, take_traffic=True).wait(timeout=240, progress=False)
    assert "in place of version 1" in (taking.message or "")
    assert client.deployments.wait(name, 3, timeout=240).status in ("ready", "scaled_to_zero")
    assert [seen.model_version for seen in client.traffic.get(name).versions] == ["3"]
    # HAProxy follows within two seconds.
    patiently(lambda: client.predict(name, [{"age": 0.1}], timeout=120).predictions == [3.0])

    failed = first.rerun(env={"FAIL": "1"}).wait(timeout=240, progress=False, raise_on_failure=False)
    assert 'File "analysis.ipynb cell 5", line 2' in failed.logs()
    for version in (1, 2, 3):
        client.deployments.delete(name, version)
