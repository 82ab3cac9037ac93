"""Tells what an upload would do, and stores nothing."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from raylift.domain.listing import listed
from raylift.domain.nodes.fit import fits
from raylift.services.cluster.capacity import Capacity
from raylift.services.cluster.holdings import ClusterHoldings
from raylift.services.uploads.checks import CheckedUpload
from raylift.settings import QuotaSettings
from raylift.store import Store


@dataclass(frozen=True, slots=True)
class DryRun:
    """The answer to an upload that is only checked."""

    upload: CheckedUpload
    jobs: int
    """Number of jobs that it would make."""
    nodes: Sequence[str]
    """Names of the nodes that could hold one of them; of a job with workers, its script."""
    queue_position: int
    """Place of the first job, by priority and age."""
    waits_for: str | None
    """Sentence on what the first job would wait for; None: it would start at once."""


class DryRunService:
    def __init__(self, store: Store, capacity: Capacity, holdings: ClusterHoldings, quotas: QuotaSettings) -> None:
        self._store = store
        self._capacity = capacity
        self._holdings = holdings
        self._quotas = quotas

    def of(self, upload: CheckedUpload) -> DryRun:
        """Return what would happen.

        Raises:
            QuotaExceeded: the owner has as many waiting jobs as its quota allows.
            ModelTaken: the model belongs to another workspace.
        """
        spec = upload.spec
        jobs = 1 if upload.sweep is None else math.prod(len(values) for values in upload.sweep.parameters.values())
        quota = self._quotas.of(spec.account)
        self._store.jobs.check(spec, jobs=jobs, max_queued=quota.max_queued_jobs)
        nodes = [node.name for node in self._capacity.nodes() if fits(spec.resources, node)]  # Of a gang, its script.
        before = self._store.jobs.queued_before(spec.priority)
        bound = quota.exceeded_by(spec.resources, self._store.jobs.held_by(spec.account)) if quota.bounds_admission() else None
        waits_for: str | None = None
        if goes_on := [job_id for job_id in spec.after if not self._store.jobs.get(job_id).is_final]:
            waits_for = f"It waits for {listed(goes_on)}."
        elif bound is not None:
            waits_for = f"With it, {spec.account!r} would have more than its quota of {bound}."
        elif needs_node := self._capacity.wait_for_node(spec.resources):
            waits_for = needs_node
        elif before:
            waits_for = f"{before} {'job waits' if before == 1 else 'jobs wait'} before it."
        elif not self._holdings.now().has_room_for(spec.resources):
            waits_for = self._holdings.now().sentence(spec.resources)
        return DryRun(upload, jobs, nodes, before + 1, waits_for)
