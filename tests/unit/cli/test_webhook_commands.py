from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from typer.testing import Result

PATH = "/mlops/webhooks"
ONE = f"{PATH}/ci"
WEBHOOK: dict[str, Any] = {
    "webhook_id": "webhook_1",
    "name": "ci",
    "workspace": "default",
    "url": "https://hooks.example.com/x",
    "format": "standard",
    "events": ["job.*"],
    "models": ["churn"],
    "experiments": [],
    "owners": [],
    "paused": False,
    "paused_at": None,
    "message": None,
    "pending": 2,
    "dead": 1,
    "former_secret_until": None,
    "created_at": "2026-03-01T00:00:00Z",
    "created_by": "anna",
    "updated_at": "2026-03-01T00:00:00Z",
    "updated_by": "anna",
    "links": {},
}
NEW = WEBHOOK | {"secret": "whsec_c2VjcmV0"}
DELIVERY: dict[str, Any] = {
    "delivery_id": "msg_1",
    "event_type": "job.failed",
    "subject": "job_1",
    "occurred_at": "2026-03-01T00:00:00Z",
    "status": "dead",
    "attempts": 23,
    "due_at": None,
    "last_attempt_at": "2026-03-04T00:00:00Z",
    "last_status_code": 500,
    "last_error": "The receiver answered with 500.",
    "last_answer": "",
    "data": {},
}
Run = Callable[..., Result]


def sent(platform: Any) -> Any:
    return platform.requests[-1][2]


def test_create_prints_the_secret(run: Run, platform: Any) -> None:
    platform.on("POST", PATH, NEW, status=201)
    result = run("webhooks", "create", "ci", "https://hooks.example.com/x", "-e", "job.*", "--model", "churn")
    assert result.exit_code == 0
    assert "whsec_c2VjcmV0" in result.stdout
    assert sent(platform) == sent(platform) | {"name": "ci", "events": ["job.*"], "models": ["churn"], "format": "standard"}


def test_list_and_show_print_no_secret(run: Run, platform: Any) -> None:
    platform.on("GET", PATH, {"webhooks": [WEBHOOK], "event_types": ["job.failed"]}, status=200)
    platform.on("GET", ONE, WEBHOOK, status=200)
    assert "hooks.example.com" in run("webhooks", "list").stdout
    shown = run("webhooks", "show", "ci").stdout
    assert "churn" in shown
    assert "whsec" not in shown


def test_update_pause_and_resume(run: Run, platform: Any) -> None:
    platform.on("PATCH", ONE, WEBHOOK, status=200)
    assert run("webhooks", "update", "ci", "--event", "alias.*").exit_code == 0
    assert sent(platform) == {"events": ["alias.*"]}
    # An empty text is no pattern: the webhook has no condition on models from now on.
    assert run("webhooks", "update", "ci", "--model", "").exit_code == 0
    assert sent(platform) == {"models": []}
    assert run("webhooks", "pause", "ci").exit_code == 0
    assert sent(platform) == {"paused": True}
    assert run("webhooks", "resume", "ci").exit_code == 0
    assert sent(platform) == {"paused": False}


def test_rotate_prints_the_new_secret(run: Run, platform: Any) -> None:
    platform.on("POST", f"{ONE}/rotate", NEW, status=200)
    assert "whsec_c2VjcmV0" in run("webhooks", "rotate", "ci", "--grace-hours", "1").stdout
    assert sent(platform) == {"grace_hours": 1.0}


@pytest.mark.parametrize(("status", "code"), [("delivered", 0), ("pending", 1)])
def test_test_waits_for_the_first_attempt(run: Run, platform: Any, status: str, code: int) -> None:
    platform.on("POST", f"{ONE}/test", DELIVERY | {"status": "pending", "attempts": 0}, status=202)
    platform.on("GET", f"{ONE}/deliveries/msg_1", DELIVERY | {"status": status, "attempts": 1}, status=200)
    result = run("webhooks", "test", "ci")
    assert result.exit_code == code
    assert ("The receiver answered with 500." in result.stderr) is (code == 1)


def test_deliveries_show_the_last_answer(run: Run, platform: Any) -> None:
    platform.on("GET", f"{ONE}/deliveries", {"deliveries": [DELIVERY], "next_cursor": None}, status=200)
    result = run("webhooks", "deliveries", "ci", "--status", "dead", "--output", "json")
    assert json.loads(result.stdout)["deliveries"] == [DELIVERY]
    assert "status=dead" in platform.requests[-1][1]
    assert "msg_1" in run("webhooks", "deliveries", "ci").stdout


def test_redeliver_sends_one_or_all_dead_ones(run: Run, platform: Any) -> None:
    platform.on("POST", f"{ONE}/deliveries/msg_1/redeliver", DELIVERY, status=202)
    platform.on("POST", f"{ONE}/redeliver", {"redelivered": 7}, status=202)
    assert run("webhooks", "redeliver", "ci", "msg_1").exit_code == 0
    assert "7 delivered again" in run("webhooks", "redeliver", "ci").output


def test_delete_asks_the_api(run: Run, platform: Any) -> None:
    platform.on("DELETE", ONE, None, status=204)
    assert "ci is deleted" in run("webhooks", "delete", "ci").output
