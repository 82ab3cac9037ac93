"""Rights that jobs need: to be submitted, to use the cluster, and to promote what they train."""

from __future__ import annotations

from raylift.domain.access import Action, Principal, least_role, may
from raylift.domain.errors import Forbidden
from raylift.domain.job import Isolation
from raylift.domain.rollouts.gate import Gate
from raylift.services.access.cluster import require_right_to


def require_rights_of_job(isolation: Isolation, promote: Gate | None, principal: Principal) -> None:
    """Raise Forbidden for a job that uses Ray, or moves an alias at its end, whose principal may not. Local mode allows all."""
    require_right_to(isolation, principal)
    if promote is None or may(principal, Action.DEPLOY):
        return
    role = least_role(Action.DEPLOY)
    raise Forbidden(
        f"A gate (promote) moves the alias {promote.alias!r}, which needs the role {role}; {principal.name!r} has "
        f"{principal.role}. Leave it out, or ask an admin for a key.",
        action=Action.DEPLOY,
        role=role,
    )


def require_right_to_submit(principal: Principal) -> None:
    """Raise Forbidden where the principal may not submit jobs, as the owner of a schedule at the time of a run."""
    if may(principal, Action.SUBMIT):
        return
    role = least_role(Action.SUBMIT)
    raise Forbidden(f"Jobs need the role {role}; {principal.name!r} has {principal.role}.", action=Action.SUBMIT, role=role)
