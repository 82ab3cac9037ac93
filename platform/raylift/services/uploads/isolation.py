"""Decides how a job's script is isolated, and who may ask for the cluster."""

from __future__ import annotations

from collections.abc import Iterator

from raylift.domain.errors import FieldError
from raylift.domain.job import Isolation


def may_use_cluster(owner: str) -> bool:
    """Return True where the owner may run scripts outside of the sandbox. In local mode everybody may."""
    return bool(owner)


def check_isolation(isolation: Isolation, owner: str) -> Iterator[FieldError]:
    """Yield an error for a job of the cluster whose owner may not have one."""
    if isolation is Isolation.CLUSTER and not may_use_cluster(owner):
        yield FieldError("isolation", "is 'cluster', which needs a right that you do not have: use 'sandbox'")
