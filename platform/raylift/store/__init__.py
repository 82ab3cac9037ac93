"""The one truth: jobs, deployments and leases, in SQLite or PostgreSQL. Start with ``Store``."""

from __future__ import annotations

from raylift.store.database import Store
from raylift.store.idempotency import IdempotencyKey
from raylift.store.pages import JobFilter, JobPage
from raylift.store.sweeps import AddedSweep, SweepListing, SweepPage

__all__ = ["AddedSweep", "IdempotencyKey", "JobFilter", "JobPage", "Store", "SweepListing", "SweepPage"]
