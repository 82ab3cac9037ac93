"""The right to run scripts outside of the sandbox."""

from __future__ import annotations

import pytest

from raylift.domain.access import LOCAL, Principal, Role
from raylift.domain.errors import Forbidden
from raylift.domain.job import Isolation
from raylift.services.access.cluster import require_right_to


def test_everybody_may_ask_for_the_cluster_in_local_mode() -> None:
    require_right_to(Isolation.CLUSTER, LOCAL)


def test_submitter_may_only_ask_for_the_sandbox() -> None:
    submitter = Principal("ann", Role.SUBMITTER, "red")
    require_right_to(Isolation.SANDBOX, submitter)
    with pytest.raises(Forbidden, match="isolation: cluster"):
        require_right_to(Isolation.CLUSTER, submitter)
    require_right_to(Isolation.CLUSTER, Principal("bob", Role.DEPLOYER, "red"))
