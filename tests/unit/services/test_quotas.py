"""Quotas of owners by workspace."""

from __future__ import annotations

import pytest

from raylift.domain.job import account_of
from raylift.settings import OwnerQuota, QuotaSettings

QUOTAS = QuotaSettings(
    default=OwnerQuota(max_running_jobs=1),
    owners={"ann": OwnerQuota(max_running_jobs=2), "red/ann": OwnerQuota(max_running_jobs=3)},
)


@pytest.mark.parametrize(
    ("workspace", "owner", "running"), [("default", "bob", 1), ("default", "ann", 2), ("blue", "ann", 2), ("red", "ann", 3)]
)
def test_owner_has_the_quota_of_its_workspace_else_of_its_name(workspace: str, owner: str, running: int) -> None:
    assert QUOTAS.of(account_of(workspace, owner)).max_running_jobs == running
