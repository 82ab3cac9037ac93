"""The right to run scripts outside of the sandbox, with Ray."""

from __future__ import annotations

from raylift.domain.access import Action, Principal, least_role, may
from raylift.domain.errors import Forbidden


def may_use_cluster(principal: Principal) -> bool:
    """Return True where the caller's jobs may use Ray. In local mode everybody's may."""
    return may(principal, Action.USE_CLUSTER)


def require_cluster(principal: Principal) -> None:
    """Raise Forbidden where the caller's jobs may not use Ray."""
    if may_use_cluster(principal):
        return
    role = least_role(Action.USE_CLUSTER)
    raise Forbidden(
        f"Jobs that use the Ray cluster need the role {role}; {principal.name!r} has {principal.role}. "
        "Upload the script with isolation: sandbox, or ask an admin for a key.",
        action=Action.USE_CLUSTER,
        role=role,
    )
