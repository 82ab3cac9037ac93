"""The one truth: jobs, deployments and leases, in SQLite or PostgreSQL. Start with ``Store``."""

from __future__ import annotations

from raylift.store.database import Store
from raylift.store.idempotency import IdempotencyKey
from raylift.store.pages import JobFilter, JobPage

__all__ = ["IdempotencyKey", "JobFilter", "JobPage", "Store"]
