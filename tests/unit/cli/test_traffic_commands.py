from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from typer.testing import Result

from tests.unit.client.test_traffic import ALIAS, VIEW

Run = Callable[..., Result]
PATH = "/mlops/models/churn/traffic"
CHANGE = {
    "sequence": 2, "at": "2026-01-02T03:04:05Z", "who": "ann", "action": "put", "revision": 2, "before": None,
    "after": {field: VIEW[field] for field in ("routes", "shadow", "sticky")}, "alias": None, "before_version": None,
    "after_version": None,
}  # fmt: skip
MOVE = CHANGE | {
    "sequence": 1, "who": "mlflow", "action": "alias", "revision": None, "after": None, "alias": "next", "after_version": "4"
}  # fmt: skip


def test_table_is_shown_and_set(run: Run, platform: Any):
    platform.on("GET", PATH, VIEW)
    platform.on("PUT", PATH, VIEW)
    shown = run("traffic", "show", "churn")
    header, *rows = shown.stdout.splitlines()
    assert header.split() == ["VERSION", "ALIAS", "SHARE", "STATUS", "REPLICAS"]
    assert [row.split() for row in rows] == [
        ["3", "-", "90.0%", "ready", "1"],
        ["4", "next", "10.0%", "ready", "1"],
        ["5", "-", "copies", "ready", "1"],
    ]
    assert "revision 2, by ann, sticky by header X-User" in shown.stderr
    assert json.loads(run("traffic", "show", "churn", "-o", "json").stdout) == VIEW
    run("traffic", "set", "churn", "3=90", "next=10", "--shadow", "5", "--sticky-header", "X-User")
    assert platform.sent("PUT", PATH) == [
        {
            "routes": [{"version": "3", "weight": 90.0}, {"version": "next", "weight": 10.0}],
            "shadow": ["5"],
            "sticky": {"header": "X-User", "field": None},
        }
    ]


def test_malformed_route_is_wrong_usage(run: Run):
    refused = run("traffic", "set", "churn", "3")
    assert (refused.exit_code, "VERSION=WEIGHT" in refused.stderr) == (2, True)


def test_partial_share_of_a_single_version_is_wrong_usage(run: Run, platform: Any):
    platform.on("PUT", PATH, VIEW)
    refused = run("traffic", "set", "churn", "2=10")
    assert (refused.exit_code, platform.sent("PUT", PATH)) == (2, [])
    assert "like OTHER=90 2=10; to send 2 everything, write 2=1" in refused.stderr
    assert run("traffic", "set", "churn", "2=0").exit_code == 2
    assert run("traffic", "set", "churn", "2=1").exit_code == 0
    assert run("traffic", "set", "churn", "2=100").exit_code == 0
    assert run("traffic", "set", "churn", "1=0", "2=10").exit_code == 0


def test_aliases_are_listed(run: Run, platform: Any):
    model = {"model_name": "churn", "description": None, "created_at": "2026-01-02T03:04:05Z", "versions": []}
    platform.on("GET", "/mlops/models/churn", model | {"aliases": {"next": "4", "champion": "3"}})
    header, *rows = run("models", "alias", "list", "churn").stdout.splitlines()
    assert (header.split(), [row.split() for row in rows]) == (["ALIAS", "VERSION"], [["champion", "3"], ["next", "4"]])
    assert json.loads(run("models", "alias", "list", "churn", "-o", "json").stdout) == {"next": "4", "champion": "3"}


def test_history_prints_changes(run: Run, platform: Any):
    platform.on("GET", f"{PATH}/history", {"model_name": "churn", "changes": [CHANGE, MOVE], "next_before": None})
    _, put, move = run("traffic", "history", "churn").stdout.splitlines()
    assert put.split()[:5] == ["2", "put", "ann", "newest", "3=90"]
    assert "next=10 copies=5, sticky by header X-User" in put
    assert move.split()[:7] == ["1", "alias", "mlflow", "next:", "none", "next:", "4"]


def test_rollback_restores_a_table(run: Run, platform: Any):
    path = "/mlops/models/churn/rollback"
    platform.on("POST", path, VIEW)
    run("traffic", "rollback", "churn")
    run("traffic", "rollback", "churn", "--revision", "1")
    assert platform.sent("POST", path) == [{}, {"revision": 1}]
    assert run("traffic", "rollback", "churn", "--revision", "1", "--alias", "next").exit_code == 2


def test_delete_prints_which_version_answers_now(run: Run, platform: Any):
    platform.on("DELETE", PATH, VIEW | {"routes": []})
    assert "newest version that answers" in run("traffic", "delete", "churn").stderr


def test_aliases_are_set_and_deleted(run: Run, platform: Any):
    path = "/mlops/models/churn/aliases/champion"
    platform.on("PUT", path, ALIAS)
    platform.on("DELETE", path, ALIAS | {"version": None, "previous_version": "4"})
    assert "was 3, and is 4" in run("models", "alias", "set", "churn", "champion", "4").stderr
    assert "was 4, and is none" in run("models", "alias", "rm", "churn", "champion").stderr
    assert platform.sent("PUT", path) == [{"version": "4"}]
