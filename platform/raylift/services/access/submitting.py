"""The right to submit jobs, for the owners of schedules, who send no request at the time of a run."""

from __future__ import annotations

from raylift.domain.access import Action, Principal, least_role, may
from raylift.domain.errors import Forbidden


def require_right_to_submit(principal: Principal) -> None:
    """Raise Forbidden where the principal may not submit jobs."""
    if may(principal, Action.SUBMIT):
        return
    role = least_role(Action.SUBMIT)
    raise Forbidden(f"Jobs need the role {role}; {principal.name!r} has {principal.role}.", action=Action.SUBMIT, role=role)
