"""`raylift keys`, `login`, `logout`, `whoami` and `audit`."""

from __future__ import annotations

import json
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import Result

Run = Callable[..., Result]
KEYS = "/mlops/keys"
TOKEN = "rl_abcdefgh_" + "x" * 43
KEY = {
    "key_id": "abcdefgh",
    "name": "ann",
    "role": "submitter",
    "workspace": "red",
    "models": [],
    "created_at": "2026-01-02T03:04:05Z",
    "created_by": "admin",
    "expires_at": None,
    "revoked_at": None,
    "last_used_at": None,
}
ME = {
    "name": "ann",
    "role": "submitter",
    "workspace": "red",
    "key_id": "abcdefgh",
    "models": None,
    "auth": "keys",
    "actions": ["read", "submit"],
}
ENTRY = {
    "entry_id": "audit_1",
    "at": "2026-01-02T03:04:05Z",
    "who": "",
    "key_id": None,
    "workspace": None,
    "address": "10.0.0.1",
    "action": "job.submit",
    "target": "job_1",
    "request_id": "r",
    "outcome": "refused",
    "detail": "unauthenticated",
}


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setenv("RAYLIFT_STATE_DIR", str(tmp_path / "state"))
    return tmp_path


def test_created_key_is_printed_alone_on_stdout(run: Run, platform: Any) -> None:
    platform.on("POST", KEYS, KEY | {"key": TOKEN}, status=201)
    done = run("keys", "create", "ann", "--role", "submitter", "--workspace", "red", "--model", "churn", "--expires-days", "1")
    assert done.exit_code == 0, done.output
    assert done.stdout.splitlines()[-1] == TOKEN
    sent = {"name": "ann", "role": "submitter", "workspace": "red", "models": ["churn"], "expires_days": 1.0}
    assert platform.sent("POST", KEYS) == [sent]


def test_list_shows_keys_of_every_state(run: Run, platform: Any) -> None:
    used = KEY | {"key_id": "bcdefghi", "last_used_at": "2026-01-02T03:04:05Z", "revoked_at": "2026-01-02T03:04:05Z"}
    ending = KEY | {"key_id": "cdefghij", "expires_at": "2027-01-02T03:04:05Z", "models": ["churn"]}
    platform.on("GET", KEYS, {"keys": [KEY, used, ending]})
    _, first, second, third = run("keys", "list").stdout.splitlines()
    assert "never" in first
    assert "revoked" in second
    assert "until 2027-01-02 03:04" in third
    assert json.loads(run("keys", "list", "-o", "json").stdout)["keys"][0]["name"] == "ann"


def test_revoke_and_rotate_name_the_key(run: Run, platform: Any) -> None:
    platform.on("DELETE", f"{KEYS}/abcdefgh", KEY | {"revoked_at": "2026-01-02T03:04:05Z"})
    platform.on("POST", f"{KEYS}/abcdefgh/rotate", KEY | {"key": TOKEN}, status=201)
    assert run("keys", "revoke", "abcdefgh").exit_code == 0
    assert run("keys", "rotate", "abcdefgh", "--grace-hours", "2").stdout.splitlines()[-1] == TOKEN
    assert platform.sent("POST", f"{KEYS}/abcdefgh/rotate") == [{"grace_hours": 2.0}]


def test_login_keeps_a_valid_key_and_later_commands_send_it(run: Run, platform: Any, home: Path) -> None:
    platform.on("GET", "/mlops/whoami", ME)
    done = run("login", stdin=f"{TOKEN}\n")
    assert done.exit_code == 0, done.output
    assert TOKEN not in done.output
    path = home / "config" / "raylift" / "credentials.json"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert "submit" in run("whoami").stdout
    assert platform.requests[-1][3]["Authorization"] == f"Bearer {TOKEN}"
    assert run("logout").exit_code == 0
    run("whoami")
    assert "Authorization" not in platform.requests[-1][3]


def test_login_with_a_wrong_key_keeps_nothing(run: Run, platform: Any, home: Path) -> None:
    platform.refuse("GET", "/mlops/whoami", 401, "unauthenticated", "The key is unknown or revoked.")
    done = run("login", "--key", TOKEN)
    assert done.exit_code == 1
    assert "unknown or revoked" in done.stderr
    assert not (home / "config").exists()


def test_audit_shows_entries_and_sends_its_filters(run: Run, platform: Any) -> None:
    platform.on("GET", "/mlops/audit", {"entries": [ENTRY], "next_cursor": "next"})
    done = run("audit", "--who", "ann", "--action", "job.", "--outcome", "refused", "--since", "2026-01-01")
    assert "(unknown)" in done.stdout
    assert "--cursor next" in done.stderr
    query = platform.requests[-1][1]
    for part in ("who=ann", "action=job.", "outcome=refused", "since=2026-01-01T00%3A00%3A00"):
        assert part in query


def test_audit_is_written_as_lines_of_json(run: Run, platform: Any, tmp_path: Path) -> None:
    platform.on("GET", "/mlops/audit/export", json.dumps(ENTRY) + "\n" + json.dumps(ENTRY) + "\n")
    assert run("audit-export", str(tmp_path / "audit.jsonl")).exit_code == 0
    assert [json.loads(line) for line in (tmp_path / "audit.jsonl").read_text().splitlines()] == [ENTRY, ENTRY]
    assert run("audit-export", "-").stdout.count("job.submit") == 2
