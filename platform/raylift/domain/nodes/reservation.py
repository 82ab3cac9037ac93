"""The node that is set aside for a large waiting job."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Reservation:
    """A waiting job, and the node that takes no other job until it fits there."""

    job_id: str
    node_id: str
