"""Roles, permissions and tokens."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from raylift.domain.access import (
    LEAST_ROLE,
    LOCAL,
    AccessKey,
    Action,
    Principal,
    Role,
    digest_of,
    key_id_of,
    may,
    new_token,
    sees,
    sees_model,
)

NOW = datetime(2026, 3, 1, tzinfo=UTC)


def principal(role: Role, models: frozenset[str] | None = None) -> Principal:
    return Principal("ann", role, "red", "abc", models)


def test_every_action_has_a_row_in_the_table() -> None:
    assert set(LEAST_ROLE) == set(Action)


@pytest.mark.parametrize(
    ("role", "allowed"),
    [
        (Role.VIEWER, {"public", "identify", "predict", "read"}),
        (Role.SUBMITTER, {"public", "identify", "predict", "read", "submit"}),
        (Role.DEPLOYER, {"public", "identify", "predict", "read", "submit", "deploy", "use_cluster"}),
        (Role.ADMIN, {action.value for action in Action}),
    ],
)
def test_roles_may_what_the_table_says(role: Role, allowed: set[str]) -> None:
    assert {action.value for action in Action if may(principal(role), action)} == allowed


def test_key_limited_to_models_may_only_predict() -> None:
    limited = principal(Role.ADMIN, frozenset({"churn"}))
    assert {action.value for action in Action if may(limited, action)} == {"public", "identify", "predict"}
    assert sees_model(limited, "churn", "red")
    assert not sees_model(limited, "fraud", "red")


def test_other_workspaces_are_seen_by_admins_only() -> None:
    assert sees(principal(Role.DEPLOYER), "red")
    assert not sees(principal(Role.DEPLOYER), "blue")
    assert sees(principal(Role.ADMIN), "blue")
    assert sees(LOCAL, "blue")


def test_token_shows_its_id_and_hides_its_secret() -> None:
    token = new_token()
    assert key_id_of(token.text) == token.key_id
    assert digest_of(token.text) == token.sha256
    assert token.text not in repr(token)
    assert len({new_token().text for _ in range(100)}) == 100


@pytest.mark.parametrize("text", ["", "rl_", "rl_abcdefgh_short", "sk-abc", "rl_abcdefgh_" + "é" * 43])
def test_other_texts_are_no_tokens(text: str) -> None:
    assert key_id_of(text) is None


def test_key_is_valid_until_it_expires_or_is_revoked() -> None:
    key = AccessKey("abc", "0" * 64, "ann", Role.VIEWER, "red", (), NOW, "admin", expires_at=NOW + timedelta(hours=1))
    assert key.is_valid(NOW)
    assert not key.is_valid(NOW + timedelta(hours=1))
    assert not AccessKey("abc", "0" * 64, "ann", Role.VIEWER, "red", (), NOW, "admin", revoked_at=NOW).is_valid(NOW)
