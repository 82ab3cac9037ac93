from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

from raylift.domain.access import AccessKey, Role
from raylift.domain.schedules.rights import role_of_owner
from raylift.domain.schedules.schedule import name_error

NOW = datetime(2026, 5, 5, tzinfo=UTC)
LASTS = timedelta(days=30)
KEY = AccessKey("a", "0", "anna", Role.SUBMITTER, "red", (), NOW - timedelta(days=10), "admin")
SIGN_IN = replace(KEY, key_id="b", subject="issuer anna", expires_at=NOW - timedelta(days=9))


def role(*keys: AccessKey) -> Role | None:
    return role_of_owner(keys, NOW, sign_in_lasts=LASTS)


def test_highest_role_of_the_valid_keys_counts() -> None:
    assert role() is None
    assert role(KEY) is Role.SUBMITTER
    assert role(KEY, replace(KEY, role=Role.ADMIN, revoked_at=NOW), replace(KEY, role=Role.DEPLOYER)) is Role.DEPLOYER


def test_revoked_expired_and_limited_keys_give_no_role() -> None:
    assert role(replace(KEY, revoked_at=NOW)) is None
    assert role(replace(KEY, expires_at=NOW)) is None
    assert role(replace(KEY, models=("churn",))) is None


def test_last_sign_in_counts_after_its_key_has_expired() -> None:
    assert role(SIGN_IN) is Role.SUBMITTER
    assert role(replace(SIGN_IN, created_at=NOW - LASTS)) is None
    earlier = replace(SIGN_IN, role=Role.ADMIN, created_at=NOW - timedelta(days=20))
    assert role(earlier, SIGN_IN) is Role.SUBMITTER


def test_revoked_last_sign_in_ends_the_rights() -> None:
    earlier = replace(SIGN_IN, created_at=NOW - timedelta(days=20))
    assert role(earlier, replace(SIGN_IN, revoked_at=NOW)) is None


def test_names() -> None:
    assert name_error("nightly-2") is None
    for wrong in ("", "a b", "-a", "a" * 65, "schedule_01JABCDEFGHJKMNPQRSTVWXYZ0"):
        assert name_error(wrong), wrong
