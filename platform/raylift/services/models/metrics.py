"""What versions' processes have counted, and what people tell of their predictions afterwards."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from raylift.domain.errors import DeploymentNotFound
from raylift.domain.feedback import Feedback, Truth
from raylift.domain.model_counters import VersionCounts
from raylift.engines.metrics.counter_files import read_counts
from raylift.services.clock import Clock, utc_now
from raylift.services.ports import Registry
from raylift.store import Store
from raylift.store.repositories.feedback import FeedbackPage


@dataclass(frozen=True, slots=True)
class Statistics:
    model_name: str
    version: str
    counts: VersionCounts | None
    """None for a version that never had a process."""
    feedback: int


class ObservationService:
    def __init__(self, store: Store, registry: Registry, counters_dir: Path, *, clock: Clock = utc_now) -> None:
        self._store = store
        self._registry = registry
        self._counters_dir = counters_dir
        self._clock = clock

    def counts(self) -> list[VersionCounts]:
        """Of every version that ever had a process."""
        return read_counts(self._counters_dir)

    def statistics(self, model_name: str, version: str) -> Statistics:
        """Raises ModelNotFound or VersionNotFound."""
        self._require(model_name, version)
        counts = next(iter(read_counts(self._counters_dir, (model_name, version))), None)
        return Statistics(model_name, version, counts, self._store.feedback.count(model_name, version))

    def tell(self, model_name: str, version: str, values: Sequence[tuple[str, Truth]]) -> int:
        """Keep the true values of requests, by request id; how many requests there are.

        What is told last counts. The ids are not looked up: requests are not kept unless a payload log keeps them.

        Raises:
            ModelNotFound, VersionNotFound.
        """
        self._require(model_name, version)
        now = self._clock()
        self._store.feedback.put([Feedback(model_name, version, request_id, value, now) for request_id, value in values])
        return len({request_id for request_id, _ in values})

    def feedback(self, model_name: str, version: str, *, limit: int, cursor: str | None) -> FeedbackPage:
        """Newest first. Raises ModelNotFound, VersionNotFound, or InvalidRequest for a cursor that is none."""
        self._require(model_name, version)
        return self._store.feedback.page(model_name, version, limit=limit, cursor=cursor)

    def _require(self, model_name: str, version: str) -> None:
        try:
            self._store.deployments.get(model_name, version)
        except DeploymentNotFound:
            self._registry.version(model_name, version)
