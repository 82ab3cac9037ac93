"""Source of truth for jobs, deployments and leases, in SQLite or PostgreSQL. Start with ``Store``."""

from __future__ import annotations

from raylift.store.database import Store, open_store
from raylift.store.engine.changes import Changes
from raylift.store.engine.key_ring import KeyRing
from raylift.store.engine.trail import Act, acting, declare
from raylift.store.repositories.audit import AuditPage
from raylift.store.repositories.keys import WorkspaceRepository
from raylift.store.repositories.promotion.rollouts import RolloutPage
from raylift.store.repositories.schedules import NewJob, ScheduleRunPage, ScheduleStep
from raylift.store.repositories.sweeps import AddedSweep, SweepListing, SweepPage
from raylift.store.repositories.webhooks import DeliveryPage
from raylift.store.statements.idempotency import IdempotencyKey
from raylift.store.statements.pages import JobFilter, JobPage

__all__ = [
    "Act",
    "AddedSweep",
    "AuditPage",
    "Changes",
    "DeliveryPage",
    "IdempotencyKey",
    "JobFilter",
    "JobPage",
    "KeyRing",
    "NewJob",
    "RolloutPage",
    "ScheduleRunPage",
    "ScheduleStep",
    "Store",
    "SweepListing",
    "SweepPage",
    "WorkspaceRepository",
    "acting",
    "declare",
    "open_store",
]
