"""Audit: entries on writes and on refused requests. Entries hold no secrets and no bodies."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum


class Outcome(StrEnum):
    DONE = "done"
    """Committed with what it tells."""
    UNCHANGED = "unchanged"
    """Accepted, and nothing had to change."""
    REFUSED = "refused"
    """Not allowed, or a wrong request; ``detail`` has the error code."""
    FAILED = "failed"
    """The platform could not do it; ``detail`` has the error code."""


@dataclass(frozen=True, slots=True)
class AuditEntry:
    entry_id: str
    at: datetime
    who: str
    """Name of the principal; empty for an unknown caller."""
    key_id: str | None
    workspace: str | None
    address: str | None
    """Address of the caller, as the ingress saw it."""
    action: str
    """Subject and verb, such as ``job.submit``."""
    target: str | None
    """Id or name of the thing."""
    request_id: str | None
    outcome: Outcome
    detail: str | None = None


@dataclass(frozen=True, slots=True)
class AuditFilter:
    """Conditions of a list of entries; None: no condition."""

    who: str | None = None
    workspace: str | None = None
    action: str | None = None
    """An action, or its subject with a trailing dot: ``job.``."""
    target: str | None = None
    outcome: Outcome | None = None
    since: datetime | None = None
    until: datetime | None = None
