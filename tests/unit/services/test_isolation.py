"""Isolation and network of uploads and reruns."""

from __future__ import annotations

from raylift.domain.job import Isolation
from raylift.services.uploads.isolation import check_isolation, may_use_cluster


def test_everybody_may_ask_for_the_cluster_in_local_mode() -> None:
    assert may_use_cluster("local")
    assert list(check_isolation(Isolation.CLUSTER, "local")) == []
    assert list(check_isolation(Isolation.SANDBOX, "")) == []
    (error,) = check_isolation(Isolation.CLUSTER, "")
    assert error.field == "isolation"
