"""Metrics of model versions: counts of their processes, and feedback on predictions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from raylift.domain.errors import DeploymentNotFound
from raylift.domain.models.counters import VersionCounts
from raylift.domain.models.feedback import Feedback, Truth
from raylift.domain.models.series import MINUTE, Interval, aligned
from raylift.engines.metrics.counter_files import read_counts
from raylift.services.models.series_steps import check_step, default_step, fill
from raylift.services.ports import Clock, Registry, utc_now
from raylift.store import Store
from raylift.store.repositories.feedback import FeedbackPage


@dataclass(frozen=True, slots=True)
class Statistics:
    model_name: str
    version: str
    counts: VersionCounts | None
    """None for a version without any process so far."""
    feedback: int


@dataclass(frozen=True, slots=True)
class Series:
    model_name: str
    version: str
    since: datetime
    until: datetime
    step_seconds: int
    intervals: Sequence[Interval]
    """One for each step, in order of time."""


class ObservationService:
    """Reads counts, and keeps feedback."""

    def __init__(self, store: Store, registry: Registry, counters_dir: Path, *, clock: Clock = utc_now) -> None:
        self._store = store
        self._registry = registry
        self._counters_dir = counters_dir
        self._clock = clock

    def counts(self) -> list[VersionCounts]:
        """Return the counts of every version that has had a process."""
        return read_counts(self._counters_dir)

    def statistics(self, model_name: str, version: str) -> Statistics:
        """Raises ModelNotFound or VersionNotFound."""
        self._require(model_name, version)
        counts = next(iter(read_counts(self._counters_dir, (model_name, version))), None)
        return Statistics(model_name, version, counts, self._store.feedback.count(model_name, version))

    def series(
        self, model_name: str, version: str, *, since: datetime | None, until: datetime | None, step_seconds: int | None
    ) -> Series:
        """Return the time series of a version, with empty intervals where nothing happened.

        Args:
            model_name: the model.
            version: its version.
            since: None: an hour before ``until``.
            until: None: the end of the last recorded minute.
            step_seconds: length of an interval. None: one that gives at most 250 of them, where that is possible.

        Raises:
            ModelNotFound, VersionNotFound.
            InvalidRequest: the steps are too many, or too short for what is kept.
        """
        self._require(model_name, version)
        now = self._clock()
        end = aligned(min(until or now, self._store.series.recorded_until() or now), MINUTE)
        since = min(since or end - timedelta(hours=1), end)
        step = step_seconds or default_step(since, end, now)
        check_step(step, since, end, now)
        start = aligned(since, step)
        found = self._store.series.intervals(model_name, version, start, end, step_seconds=step)
        baseline = None if found else self._store.series.baseline(model_name, version)
        intervals = fill((model_name, version), found, baseline, start=start, end=end, step_seconds=step)
        return Series(model_name, version, start, end, step, intervals)

    def put_feedback(self, model_name: str, version: str, values: Sequence[tuple[str, Truth]]) -> int:
        """Store the true values of requests, and return the number of requests. A later value replaces an earlier one.

        The request ids are not checked: only a payload log keeps requests.

        Args:
            model_name: the model.
            version: its version.
            values: pairs of request id and true value.

        Raises:
            ModelNotFound, VersionNotFound.
        """
        self._require(model_name, version)
        now = self._clock()
        self._store.feedback.put([Feedback(model_name, version, request_id, value, now) for request_id, value in values])
        return len({request_id for request_id, _ in values})

    def feedback(self, model_name: str, version: str, *, limit: int, cursor: str | None) -> FeedbackPage:
        """Return a page, newest first. Raises ModelNotFound, VersionNotFound, or InvalidRequest for an invalid cursor."""
        self._require(model_name, version)
        return self._store.feedback.page(model_name, version, limit=limit, cursor=cursor)

    def _require(self, model_name: str, version: str) -> None:
        try:
            self._store.deployments.get(model_name, version)
        except DeploymentNotFound:
            self._registry.version(model_name, version)
