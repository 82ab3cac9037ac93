"""Role of the owner of a schedule at the time of a run."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Final

from raylift.domain.access import AccessKey, Role

_RANK: Final = {role: rank for rank, role in enumerate(Role)}


def role_of_owner(keys: Iterable[AccessKey], now: datetime, *, sign_in_lasts: timedelta) -> Role | None:
    """Return the highest role that the owner has by its keys; None where it has no valid one.

    A schedule outlives a sign-in, which ends after hours. So the last sign-in of a person counts for ``sign_in_lasts``, unless
    its key was revoked. Keys that are limited to predictions give no role.

    Args:
        keys: all keys of the owner's name in its workspace.
        now: the time.
        sign_in_lasts: time from a sign-in until the person has no rights any more.
    """
    unlimited = [key for key in keys if not key.models]
    roles = [key.role for key in unlimited if key.subject is None and key.is_valid(now)]
    last = max((key for key in unlimited if key.subject is not None), key=lambda key: key.created_at, default=None)
    if last is not None and last.revoked_at is None and now < last.created_at + sign_in_lasts:
        roles.append(last.role)
    return max(roles, key=_RANK.__getitem__, default=None)
