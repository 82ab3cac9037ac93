"""Quality of a version over time: true values that were sent, joined with the answers in its payload log."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final

from raylift.domain.errors import DeploymentNotFound
from raylift.domain.models.quality import Pair, Quality, is_numeric, pairs_of, quality_of
from raylift.domain.models.series import aligned
from raylift.engines.metrics.payload_files import read_outputs
from raylift.services.models.quality_scores import Scored, scored_of, with_scores
from raylift.services.models.series_steps import check_step, default_step
from raylift.services.ports import Clock, Registry, utc_now
from raylift.store import Store

_MOST_FEEDBACK: Final = 10_000
_MOST_BYTES: Final = 64 * 1024**2
"""Size of the files of the payload log that one question reads at most."""
_BEFORE: Final = timedelta(days=7)
"""True values come after the fact: the log is read from so long before."""


@dataclass(frozen=True, slots=True)
class QualityOverTime:
    model_name: str
    version: str
    since: datetime
    until: datetime
    step_seconds: int
    feedback: int
    joined: int
    overall: Quality
    points: Sequence[tuple[datetime, Quality]]
    """Intervals with feedback, in order of time."""


class QualityService:
    """Joins when it is asked: nothing is stored."""

    def __init__(self, store: Store, registry: Registry, payloads_dir: Path, *, clock: Clock = utc_now) -> None:
        self._store = store
        self._registry = registry
        self._payloads_dir = payloads_dir
        self._clock = clock

    def over_time(self, model_name: str, version: str, *, since: datetime | None, step_seconds: int | None) -> QualityOverTime:
        """Compare true values that were received since then with the answers.

        Raises:
            ModelNotFound, VersionNotFound.
            InvalidRequest: the steps are too many, or too short.
        """
        try:
            self._store.deployments.get(model_name, version)
        except DeploymentNotFound:
            self._registry.version(model_name, version)
        until = self._clock()
        since = min(since or until - timedelta(days=1), until)
        step = step_seconds or default_step(since, until, until)
        check_step(step, since, until, until)
        told = self._store.feedback.between(model_name, version, since, until, limit=_MOST_FEEDBACK)
        ids = {one.request_id for one in told}
        outputs = read_outputs(self._payloads_dir, model_name, version, ids, since=since - _BEFORE, max_bytes=_MOST_BYTES)
        by_step: dict[datetime, list[Pair]] = defaultdict(list)
        scored: dict[datetime, list[Scored]] = defaultdict(list)
        for one in told:
            if one.request_id in outputs:
                with suppress(ValueError):  # an answer that is no JSON
                    answer, start = json.loads(outputs[one.request_id]), aligned(one.received_at, step)
                    by_step[start] += pairs_of(answer, one.true_value)
                    scored[start] += scored_of(answer, one.true_value)
        everything = [pair for pairs in by_step.values() for pair in pairs]
        numeric = is_numeric(everything)
        points = [(start, with_scores(quality_of(by_step[start], numeric=numeric), scored[start])) for start in sorted(by_step)]
        every_score = [row for rows in scored.values() for row in rows]
        overall = with_scores(quality_of(everything, numeric=numeric), every_score)
        return QualityOverTime(model_name, version, since, until, step, len(told), len(outputs), overall, points)
