from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import Result

Run = Callable[..., Result]
DEPLOYMENT = {
    "model_name": "churn",
    "model_version": "3",
    "status": "ready",
    "replicas": 1,
    "message": None,
    "min_replicas": 0,
    "max_replicas": 2,
    "target_ongoing_requests": 8,
    "max_ongoing_requests": 64,
    "max_queued_requests": 128,
    "upscale_delay_s": 3.0,
    "downscale_delay_s": None,
    "cpus": 0.1,
    "memory": 2**30,
    "batching": None,
    "route": "/v2/models/churn/versions/3",
    "created_at": "2026-01-02T03:04:05Z",
    "updated_at": "2026-01-02T03:04:05Z",
    "ready_at": None,
}
LINEAGE = dict.fromkeys(("job_id", "script_sha256", "requirements", "environment_lock", "mlflow_run_id", "source"))
VERSION = {
    "model_name": "churn",
    "model_version": "3",
    "created_at": "2026-01-02T03:04:05Z",
    "aliases": ["champion"],
    "tags": {},
    "metrics": {"training_precision_score": 0.99, "accuracy": 0.9, "f1": 0.8, "recall": 0.7},
    "lineage": LINEAGE | {"job_id": "job_1"},
    "deployment": DEPLOYMENT,
}
MODEL = {"model_name": "churn", "created_at": "2026-01-02T03:04:05Z", "aliases": {"champion": "3"}}
PATH = "/mlops/models/churn/versions/3/deployment"


def test_models_are_listed_and_shown(run: Run, platform: Any):
    summary = MODEL | {"latest_version": "3", "updated_at": None, "ready_versions": ["2", "3"]}
    platform.on("GET", "/mlops/models", {"models": [summary]})
    platform.on("GET", "/mlops/models/churn", MODEL | {"description": None, "versions": [VERSION]})
    platform.on("GET", "/mlops/models/churn/versions/3", VERSION)
    header, row = run("models", "list").stdout.splitlines()
    assert header.split() == ["MODEL", "LATEST", "READY", "ALIASES", "AGE"]
    assert row.split()[:-1] == ["churn", "3", "2,", "3", "champion=3"]
    header, row = run("models", "show", "churn").stdout.splitlines()
    assert row.split()[:-1] == ["3", "ready", "champion", "f1=0.8,", "recall=0.7,", "accuracy=0.9"]
    assert "job         job_1" in run("models", "show", "churn", "3").stdout
    assert json.loads(run("models", "show", "churn", "3", "-o", "json").stdout) == VERSION


def test_deployments_are_listed_changed_and_deleted(run: Run, platform: Any):
    platform.on("GET", "/mlops/deployments", {"deployments": [DEPLOYMENT]})
    platform.on("GET", PATH, DEPLOYMENT)
    platform.on("PUT", PATH, DEPLOYMENT)
    platform.on("DELETE", PATH, None, status=204)
    header, row = run("deployments", "list").stdout.splitlines()
    assert header.split() == ["MODEL", "VERSION", "STATUS", "REPLICAS", "MESSAGE"]
    assert row.split() == ["churn", "3", "ready", "1", "(0", "to", "2)", "-"]
    assert "memory" in run("deployments", "show", "churn", "3").stdout
    assert (
        run("deployments", "set", "churn", "3", "--min-replicas", "0", "--memory", "1GiB", "--batch-rows", "8").exit_code == 0
    )
    assert run("deployments", "set", "churn", "3", "--no-batching").exit_code == 0
    scaling = ("--max-queued-requests", "9", "--upscale-delay-s", "0", "--downscale-delay-s", "1.5")
    assert run("deployments", "set", "churn", "3", *scaling).exit_code == 0
    assert run("deployments", "set", "churn", "3", "--batch-wait-ms", "2", "--take-traffic").exit_code == 0
    assert run("deployments", "set", "churn", "3", "--no-take-traffic").exit_code == 0
    variables = ("--env", "KERAS_BACKEND=torch", "--env", "A=b=c", "--unset-env", "OLD")
    assert run("deployments", "set", "churn", "3", *variables).exit_code == 0
    assert run("deployments", "set", "churn", "3", "--env", "KERAS_BACKEND").exit_code == 2
    assert run("deployments", "set", "churn", "3", "--no-batching", "--batch-rows", "2").exit_code == 2
    assert run("deployments", "set", "churn", "3", "--no-batching", "--batch-wait-ms", "2").exit_code == 2
    assert platform.sent("PUT", PATH) == [
        {"min_replicas": 0, "memory": "1GiB", "batching": {"max_rows": 8}},
        {"batching": None},
        {"max_queued_requests": 9, "upscale_delay_s": 0.0, "downscale_delay_s": 1.5},
        {"batching": {"wait_ms": 2.0}, "take_traffic": True},
        {"take_traffic": False},
        {"environment": {"KERAS_BACKEND": "torch", "A": "b=c", "OLD": None}},
    ]
    done = run("deployments", "delete", "churn", "3")
    assert (done.exit_code, done.stdout) == (0, "")
    assert json.loads(run("deployments", "show", "churn", "3", "-o", "json").stdout) == DEPLOYMENT


ANSWER = {"model_name": "churn", "model_version": "3", "predictions": [0, 1], "inference_time_ms": 0.8}


def test_predict_prints_predictions(run: Run, platform: Any):
    platform.on("POST", "/mlops/inference", ANSWER)
    done = run("predict", "churn", "--inputs", '{"a": [1, 2]}', "--version", "3")
    assert (done.exit_code, done.stdout.split()) == (0, ["PREDICTION", "0", "1"])
    assert done.stderr == "churn version 3, 0.8 ms\n"
    assert json.loads(run("predict", "churn", "-i", "[[1]]", "-o", "json").stdout) == ANSWER
    assert platform.sent("POST", "/mlops/inference")[0] == {
        "model_name": "churn",
        "model_version": "3",
        "inputs": {"a": [1, 2]},
    }


def test_predict_prints_probabilities(run: Run, platform: Any):
    platform.on("POST", "/mlops/inference", ANSWER | {"probabilities": [[0.9, 0.1], [0.2, 0.8]], "classes": ["no", "yes"]})
    done = run("predict", "churn", "-i", "[[1], [2]]", "--proba", "--alias", "champion")
    assert [line.split() for line in done.stdout.splitlines()] == [
        ["PREDICTION", "P(NO)", "P(YES)"],
        ["0", "0.9", "0.1"],
        ["1", "0.2", "0.8"],
    ]
    assert platform.sent("POST", "/mlops/inference")[0]["return_probabilities"] is True


def test_inputs_are_read_from_a_file_and_stdin(run: Run, platform: Any, tmp_path: Path):
    platform.on("POST", "/mlops/inference", ANSWER)
    text = '[{"a": 1}]'
    (tmp_path / "x.json").write_text("\ufeff" + text, encoding="utf-8")
    assert run("predict", "churn", "-i", f"@{tmp_path / 'x.json'}").exit_code == 0
    assert run("predict", "churn", "-i", "-", stdin=text).exit_code == 0
    assert [body["inputs"] for body in platform.sent("POST", "/mlops/inference")] == [[{"a": 1}]] * 2


@pytest.mark.parametrize("name", ["x.csv", "@x.csv", "X.CSV", "-"])
def test_csv_is_sent_unchanged(run: Run, platform: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str):
    platform.on("POST", "/mlops/inference", ANSWER)
    text = '\ufeffzip,country\r\n01234,NA\r\n"",\r\n'
    monkeypatch.chdir(tmp_path)
    if name != "-":
        Path(name.removeprefix("@")).write_bytes(text.encode())
    assert run("predict", "churn", "-i", name, "--proba", "--version", "3", stdin=text).exit_code == 0
    ((_, address, body, headers),) = platform.requests
    assert body == text.encode()
    assert headers["Content-Type"] == "text/csv"
    assert address == "/mlops/inference?model_name=churn&model_version=3&return_probabilities=true"


@pytest.mark.parametrize(
    ("inputs", "words"),
    [
        ("{a: 1}", "not JSON"),
        ("rows.json", "for a file, write @file.json"),
        ("@no_such.json", "no_such.json: No such file"),
        ("5", "cannot be a model's inputs"),
        ('{"a": [Infinity]}', "a holds an infinite number"),
    ],
)
def test_malformed_inputs_are_wrong_usage(run: Run, platform: Any, inputs: str, words: str):
    done = run("predict", "churn", "-i", inputs)
    assert done.exit_code == 2
    assert words in done.stderr
    assert platform.requests == []
