"""The supervisor's lease: the right to write transitions."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Final

SUPERVISOR: Final = "supervisor"
"""Name of the lease under which jobs are moved and deployments observed."""


@dataclass(frozen=True, slots=True)
class Lease:
    """Held by one supervisor at a time. ``token`` grows with each change of holder and rejects writes of a former one."""

    name: str
    holder: str
    token: int
    expires_at: datetime
