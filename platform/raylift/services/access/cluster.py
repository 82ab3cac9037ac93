"""The right to run scripts outside of the sandbox, with Ray."""

from __future__ import annotations

from raylift.domain.access import Action, Principal, least_role, may
from raylift.domain.errors import Forbidden
from raylift.domain.job import Isolation


def require_right_to(isolation: Isolation, principal: Principal) -> None:
    """Raise Forbidden for a job of the cluster whose caller may not have one. In local mode everybody may."""
    if isolation is not Isolation.CLUSTER or may(principal, Action.USE_CLUSTER):
        return
    role = least_role(Action.USE_CLUSTER)
    raise Forbidden(
        f"Jobs that use the Ray cluster (isolation: cluster) need the role {role}; {principal.name!r} has {principal.role}. "
        "Ask for isolation: sandbox (raylift.isolation in the metadata of Ray's clients), or ask an admin for a key.",
        action=Action.USE_CLUSTER,
        role=role,
    )
