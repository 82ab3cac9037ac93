"""Looks of the SDK's objects in a notebook."""

from __future__ import annotations

import sys
from types import SimpleNamespace
from typing import Any

import httpx
import numpy as np
import pandas as pd
import pytest

from raylift import Client, Prediction

JOBS = "/mlops/training/jobs"
EVIL = "<script>alert(1)</script>"


def test_job_draws_itself_without_markup_of_its_texts(client: Client, platform: Any, make_job: Any) -> None:
    view = make_job("failed", reason="script_error", message=EVIL, model_name="churn", metrics={EVIL: 0.5}, owner=EVIL)
    platform.on("GET", f"{JOBS}/job_1", httpx.Response(200, json=view))
    drawn = client.jobs.get("job_1")._repr_html_()
    assert "<script>" not in drawn and "&lt;script&gt;" in drawn
    for text in ("✕", "failed", "script error", "churn", "0.5", "http://platform.test/console/jobs/job_1"):
        assert text in drawn, text


def test_jobs_and_models_draw_tables(client: Client, platform: Any, make_job: Any) -> None:
    platform.on("GET", JOBS, httpx.Response(200, json={"jobs": [make_job("queued", owner=EVIL)], "next_cursor": None}))
    drawn = client.jobs._repr_html_()
    assert "<script>" not in drawn and "○" in drawn
    model = {"model_name": "churn", "latest_version": "7", "aliases": {"champion": "3"}, "ready_versions": ["7"]}
    times = dict.fromkeys(("created_at", "updated_at"), "2026-01-02T03:04:05Z")
    platform.on("GET", "/mlops/models", httpx.Response(200, json={"models": [model | times]}))
    assert "champion → 3" in client.models._repr_html_()


def test_prediction_draws_rows_and_probabilities() -> None:
    answer = Prediction("churn", "3", [EVIL, "no"], 1.25, [[0.9, 0.1], [0.2, 0.8]], ["yes", "no"])
    drawn = answer._repr_html_()
    assert "<script>" not in drawn
    for text in ("churn version 3", "1.2 ms", "p(yes)", "0.9000"):
        assert text in drawn, text
    assert "5 more rows" in Prediction("churn", "3", list(range(25)), 1.0)._repr_html_()


def test_prediction_of_a_frame_is_a_frame_with_its_index(client: Client, platform: Any) -> None:
    answer = {"model_name": "churn", "model_version": "3", "predictions": ["no", "yes"], "inference_time_ms": 0.8}
    more = {"probabilities": [[0.9, 0.1], [0.2, 0.8]], "classes": ["no", "yes"]}
    platform.on("POST", "/mlops/inference", httpx.Response(200, json=answer | more))
    frame = pd.DataFrame({"months": [1, 2]}, index=["ann", "bob"])
    found = client.predict("churn", frame, proba=True).to_pandas()
    assert found.to_dict("index") == {
        "ann": {"prediction": "no", "p(no)": 0.9, "p(yes)": 0.1},
        "bob": {"prediction": "yes", "p(no)": 0.2, "p(yes)": 0.8},
    }
    assert client.predict("churn", np.ones((2, 1))).to_pandas().index.tolist() == [0, 1]
    outputs = Prediction("churn", "3", [{"low": 1, "high": 2}], 1.0).to_pandas()
    assert outputs.columns.tolist() == ["low", "high"]


class _Html:
    """ipywidgets' HTML, as far as it is used."""

    def __init__(self, value: str) -> None:
        self.value = value


@pytest.fixture
def kernel(monkeypatch: pytest.MonkeyPatch) -> list[_Html]:
    shown: list[_Html] = []
    shell = SimpleNamespace(kernel=object())
    monkeypatch.setitem(sys.modules, "IPython", SimpleNamespace(get_ipython=lambda: shell))
    monkeypatch.setitem(sys.modules, "IPython.display", SimpleNamespace(display=shown.append))
    monkeypatch.setitem(sys.modules, "ipywidgets", SimpleNamespace(HTML=_Html, __spec__=object()))
    return shown


def test_wait_shows_progress_in_one_widget(
    client: Client, platform: Any, make_job: Any, kernel: list[_Html], capsys: pytest.CaptureFixture[str]
) -> None:
    states = [make_job("running", phases={"queued": 1.0, "script": 3.0}), make_job("completed", message=EVIL)]
    platform.on("GET", f"{JOBS}/job_1", *(httpx.Response(200, json=state) for state in [states[0], *states]))
    client.jobs.get("job_1").wait()
    (widget,) = kernel
    assert "completed" in widget.value and "<script>" not in widget.value
    assert capsys.readouterr().err == ""


def test_wait_prints_plain_text_without_widgets(
    client: Client, platform: Any, make_job: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    platform.on("GET", f"{JOBS}/job_1", httpx.Response(200, json=make_job("completed")))
    client.jobs.get("job_1").wait()
    assert "job_1 completed" in capsys.readouterr().err
