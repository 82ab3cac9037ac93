from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from typer.testing import Result

from raylift.api.observations import QualityFigures

PATH = "/mlops/models/churn/versions/3/monitor"
SETTINGS: dict[str, Any] = {
    "enabled": True,
    "window_seconds": 3600,
    "minimum_rows": 200,
    "consecutive_windows": 2,
    "drift_threshold": 0.2,
    "missing_threshold": 0.05,
    "unseen_threshold": 0.02,
    "range_threshold": 0.05,
    "segment_column": None,
    "minimum_volume": None,
    "volume_drop": None,
    "minimum_feedback": 100,
    "quality_drop": 0.05,
    "quality_baseline": None,
    "minimum_accuracy": None,
    "minimum_auc": None,
    "maximum_rmse": None,
    "maximum_log_loss": None,
    "maximum_calibration_error": None,
}
ALERT: dict[str, Any] = {
    "alert_id": "alert_1",
    "check": "drift",
    "feature": "age",
    "segment": None,
    "value": 0.5,
    "limit": 0.25,
    "window_start": "2026-03-01T12:00:00Z",
    "raised_at": "2026-03-01T13:00:00Z",
    "ended_at": None,
}
FIGURES: dict[str, Any] = {
    "feature": "age",
    "is_answer": False,
    "segment": None,
    "rows": 400,
    "psi": 0.5,
    "psi_limit": 0.25,
    "jensen_shannon": 0.2,
    "ks": 0.3,
    "ks_p": 0.0,
    "chi_square_p": 0.0,
    "missing": 0.01,
    "missing_before": 0.0,
    "unseen": 0.0,
    "outside": 0.02,
    "breaches": ["drift"],
}
WINDOW: dict[str, Any] = {
    "start": "2026-03-01T12:00:00Z",
    "end": "2026-03-01T13:00:00Z",
    "rows_seen": 900,
    "rows_sketched": 400,
    "is_compared": True,
    "figures": [FIGURES],
}
QUALITY: dict[str, Any] = dict.fromkeys(QualityFigures.model_fields) | {
    "rows": 140,
    "accuracy": 0.71,
    "accuracy_low": 0.63,
    "accuracy_high": 0.78,
}
QUALITY_WINDOW: dict[str, Any] = {
    "start": "2026-03-01T12:00:00Z",
    "end": "2026-03-01T13:00:00Z",
    "rows": 900,
    "expected_rows": None,
    "feedback": 150,
    "joined": 140,
    "feedback_since": "2026-03-01T12:00:00Z",
    "scores": [{"segment": None, "quality": QUALITY, "breaches": ["accuracy"]}],
    "baseline": "2",
}
MONITOR: dict[str, Any] = {
    "model_name": "churn",
    "model_version": "3",
    "status": "watching",
    "settings": SETTINGS,
    "reference": {"rows": 100, "columns": [{"name": "age", "kind": "number"}], "has_answers": True},
    "since": "2026-03-01T13:00:00Z",
    "open_alerts": [ALERT],
    "windows": [WINDOW],
    "quality": [QUALITY_WINDOW],
}
Run = Callable[..., Result]


def test_monitor_shows_alerts_and_the_newest_window(run: Run, platform: Any) -> None:
    platform.on("GET", PATH, MONITOR)
    result = run("monitor", "churn/3")
    assert result.exit_code == 0
    assert "watching" in result.stdout
    assert "900, 400 of them sketched" in result.stdout
    assert "0.25" in result.stdout
    assert "0.63 to 0.78" in result.stdout
    assert json.loads(run("monitor", "churn/3", "--output", "json").stdout) == MONITOR


def test_monitor_changes_only_what_is_given(run: Run, platform: Any) -> None:
    platform.on("GET", PATH, MONITOR)
    platform.on("PUT", PATH, MONITOR)
    result = run("monitor", "churn/3", "--window", "900", "--segment", "plan", "--off")
    assert result.exit_code == 0, result.output
    assert platform.requests[-1][2] == SETTINGS | {"window_seconds": 900, "segment_column": "plan", "enabled": False}


def test_zero_and_nothing_remove_limits(run: Run, platform: Any) -> None:
    platform.on("GET", PATH, MONITOR)
    platform.on("PUT", PATH, MONITOR)
    result = run("monitor", "churn/3", "--minimum-volume", "1", "--quality-drop", "0", "--baseline", "champion")
    assert result.exit_code == 0, result.output
    changes = {"minimum_volume": 1, "quality_drop": None, "quality_baseline": "champion"}
    assert platform.requests[-1][2] == SETTINGS | changes


def test_version_is_required(run: Run) -> None:
    result = run("monitor", "churn")
    assert result.exit_code == 2
    assert "churn/3" in result.stderr
