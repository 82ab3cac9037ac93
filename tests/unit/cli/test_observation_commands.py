from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import Result

Run = Callable[..., Result]
VERSION = "/mlops/models/churn/versions/3"
STATS: dict[str, Any] = {
    "model_name": "churn", "model_version": "3", "since": "2026-01-02T03:04:05Z", "requests": 200,
    "requests_by_protocol": {"raylift": 200}, "errors": 5, "error_rate": 0.025, "errors_by_kind": {"wrong_inputs": 5},
    "rows": 195, "mean_batch_rows": 1.5, "latency_mean_ms": 1.25, "latency_p50_ms": 1.0, "latency_p95_ms": 2.0,
    "latency_p99_ms": 4.0, "ongoing_requests": 2, "queued_requests": 1, "replicas": 1, "warm_processes": 0,
    "memory_bytes": 209715200, "loads": 1, "load_failures": 0, "load_mean_seconds": 0.5, "payloads_written": 10,
    "payloads_dropped": 0, "feedback": 4,
}  # fmt: skip
TOLD = {"request_id": "r1", "true_value": [1, "ü"], "received_at": "2026-01-02T03:04:05Z"}


def test_stats_prints_statistics(run: Run, platform: Any):
    platform.on("GET", f"{VERSION}/stats", STATS)
    facts = run("models", "stats", "churn", "3").stdout
    for text in ("200", "5 (2.50%)", "wrong_inputs=5", "1.25 ms", "200 MiB", "2 (1 of them queued)", "0.50 s"):
        assert text in facts, facts
    assert json.loads(run("models", "stats", "churn", "3", "-o", "json").stdout) == STATS


def test_stats_of_an_unused_version_are_empty(run: Run, platform: Any):
    nothing = STATS | {key: None for key in STATS if key.startswith("latency") or key in {"since", "mean_batch_rows"}}
    platform.on("GET", f"{VERSION}/stats", nothing | {"load_mean_seconds": None, "error_rate": None, "errors": 0})
    assert run("models", "stats", "churn", "3").exit_code == 0


def test_feedback_is_listed(run: Run, platform: Any):
    platform.on("GET", f"{VERSION}/feedback", {"feedback": [TOLD], "next_cursor": None})
    header, row = run("models", "feedback", "churn", "3").stdout.splitlines()
    assert header.split() == ["REQUEST", "TRUE", "VALUE", "AGE"]
    assert row.split()[:3] == ["r1", "[1,", '"ü"]']


def test_feedback_is_sent(run: Run, platform: Any, tmp_path: Path):
    platform.on("POST", f"{VERSION}/feedback", {"accepted": 1})
    told = run("models", "feedback", "churn", "3", "--request-id", "r1", "--true-value", "[1, 0]")
    assert "told of 1 requests" in told.stderr
    lines = tmp_path / "truth.jsonl"
    lines.write_text('{"request_id": "a", "true_value": 1}\n\n{"request_id": "b", "true_value": "x"}\n', encoding="utf-8")
    run("models", "feedback", "churn", "3", "--file", str(lines))
    assert platform.sent("POST", f"{VERSION}/feedback") == [
        {"feedback": [{"request_id": "r1", "true_value": [1, 0]}]},
        {"feedback": [{"request_id": "a", "true_value": 1}, {"request_id": "b", "true_value": "x"}]},
    ]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--request-id", "r1"], "goes together with --true-value"),
        (["--request-id", "r1", "--true-value", "yes"], "not JSON"),
        (["--file", "/nowhere.jsonl"], "/nowhere.jsonl"),
        (["--file", "x", "--request-id", "r1"], "cannot be used together"),
    ],
)
def test_malformed_feedback_is_wrong_usage(run: Run, options: list[str], said: str):
    refused = run("models", "feedback", "churn", "3", *options)
    assert (refused.exit_code, said in " ".join(refused.stderr.split())) == (2, True), refused.stderr


POINT = {
    "start": "2026-11-29T10:00:00Z", "requests": 120, "requests_per_second": 2.0, "errors": 3, "error_rate": 0.025, "rows": 120,
    "latency_mean_ms": 2.0, "latency_p50_ms": 1.25, "latency_p95_ms": 4.5, "latency_p99_ms": 9.1, "queued": 2, "replicas": 1,
    "warm_processes": 0,
}  # fmt: skip
SPAN = {"model_name": "churn", "model_version": "3", "since": POINT["start"], "until": POINT["start"], "step_seconds": 60}


def test_series_has_a_row_for_each_interval(run: Run, platform: Any):
    quiet = {**POINT, "requests": 0, "requests_per_second": 0, "error_rate": None, "latency_p50_ms": None}
    platform.on("GET", f"{VERSION}/series", {**SPAN, "points": [POINT, quiet]})
    header, first, second = run("models", "series", "churn", "3", "--hours", "6").stdout.splitlines()
    assert header.split() == [
        "FROM",
        "REQUESTS",
        "A",
        "SECOND",
        "ERRORS",
        "P50",
        "MS",
        "P95",
        "MS",
        "P99",
        "MS",
        "QUEUED",
        "REPLICAS",
        "WARM",
    ]
    assert first.split()[2:] == ["120", "2", "2.50%", "1.25", "4.5", "9.1", "2", "1", "0"]
    assert second.split()[4:6] == ["-", "-"]


def test_quality_shows_accuracy_by_interval_and_in_all(run: Run, platform: Any):
    right = {"start": POINT["start"], "rows": 8, "accuracy": 0.875, "rmse": None, "mae": None}
    answer = {**SPAN, "feedback": 9, "joined": 8, "overall": right, "points": [right]}
    platform.on("GET", f"{VERSION}/quality", answer)
    shown = run("models", "quality", "churn", "3")
    head, *rows = shown.stdout.splitlines()
    assert head.split()[:3] == ["FROM", "ROWS", "ACCURACY"]
    assert ["8" in row.split() and "87.50%" in row.split() for row in rows] == [True, True]
    assert "9 true values came, 8 of them" in shown.stderr
