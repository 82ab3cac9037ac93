"""Quality of a version over time: true values that were sent, joined with the answers in its payload log."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Final

from job_entrypoints.value_words import word_of
from raylift.domain.errors import DeploymentNotFound
from raylift.domain.models.feedback import Feedback
from raylift.domain.models.payload_rows import input_columns
from raylift.domain.models.quality import Pair, Quality, is_numeric, pairs_of, quality_of
from raylift.domain.models.series import aligned
from raylift.domain.monitoring.reference import segment_key
from raylift.engines.metrics.payload_files import Answered, read_answers
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


@dataclass(frozen=True, slots=True)
class Measured:
    """Quality of a version in one span of time."""

    feedback: int
    joined: int
    rows: int
    """Rows with a true value and an answer."""
    first_at: datetime | None
    """Time of the oldest true value; None without any."""
    by_segment: Mapping[str, Quality]
    """Quality of all rows under "", and of each segment that was asked for."""


@dataclass(slots=True)
class _Rows:
    """Rows whose answers and true values are known."""

    pairs: list[Pair] = field(default_factory=list[Pair])
    scored: list[Scored] = field(default_factory=list[Scored])

    def add(self, pairs: Sequence[Pair], scored: Sequence[Scored | None]) -> None:
        self.pairs += pairs
        self.scored += filter(None, scored)

    def quality(self, *, numeric: bool, least_scored: int = 1) -> Quality:
        """Return the quality, with that of the probabilities where enough rows have some."""
        quality = quality_of(self.pairs, numeric=numeric)
        return with_scores(quality, self.scored) if len(self.scored) >= least_scored else quality


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
        told, answers = self._joined(model_name, version, since, until)
        by_step: dict[datetime, _Rows] = defaultdict(_Rows)
        everything = _Rows()
        for one, answer, _ in _read(told, answers):
            rows = (pairs_of(answer, one.true_value), scored_of(answer, one.true_value))
            by_step[aligned(one.received_at, step)].add(*rows)
            everything.add(*rows)
        numeric = is_numeric(everything.pairs)
        points = [(start, by_step[start].quality(numeric=numeric)) for start in sorted(by_step)]
        overall = everything.quality(numeric=numeric)
        return QualityOverTime(model_name, version, since, until, step, len(told), len(answers), overall, points)

    def measure(
        self,
        model_name: str,
        version: str,
        *,
        since: datetime,
        until: datetime,
        column: str | None = None,
        segments: Sequence[str] = (),
        names: Sequence[str] = (),
        minimum_rows: int = 1,
    ) -> Measured:
        """Compare true values that were received in a span of time with the answers.

        Args:
            model_name: The model.
            version: Its version.
            since: Start of the span.
            until: End of the span.
            column: Column whose values are segments.
            segments: Keys of the segments (``plan=pro``).
            names: Names of the inputs' columns, for requests without names.
            minimum_rows: Fewer rows have no quality.
        """
        told, answers = self._joined(model_name, version, since, until, with_inputs=column is not None)
        groups: dict[str, _Rows] = {"": _Rows(), **{segment: _Rows() for segment in segments}}
        for one, answer, inputs in _read(told, answers):
            pairs, scored = pairs_of(answer, one.true_value), scored_of(answer, one.true_value)
            groups[""].add(pairs, scored)
            columns = None if column is None else input_columns(inputs, names)
            values = None if column is None or columns is None else columns.get(column)
            if values is None or len(values) != len(pairs):
                continue
            for place, value in enumerate(values):
                group = groups.get(segment_key(column or "", word_of(value)))
                if value is not None and group is not None:
                    group.add(pairs[place : place + 1], scored[place : place + 1])
        numeric = is_numeric(groups[""].pairs)
        known = {segment: rows for segment, rows in groups.items() if len(rows.pairs) >= minimum_rows}
        found = {segment: rows.quality(numeric=numeric, least_scored=minimum_rows) for segment, rows in known.items()}
        enough = {segment: quality for segment, quality in found.items() if quality.rows >= minimum_rows}
        first_at = min((one.received_at for one in told), default=None)
        return Measured(len(told), len(answers), len(groups[""].pairs), first_at, enough)

    def _joined(
        self, model_name: str, version: str, since: datetime, until: datetime, *, with_inputs: bool = False
    ) -> tuple[list[Feedback], dict[str, Answered]]:
        told = self._store.feedback.between(model_name, version, since, until, limit=_MOST_FEEDBACK)
        answers = read_answers(
            self._payloads_dir,
            model_name,
            version,
            {one.request_id for one in told},
            since=since - _BEFORE,
            max_bytes=_MOST_BYTES,
            with_inputs=with_inputs,
        )
        return told, answers


def _read(told: Sequence[Feedback], answers: Mapping[str, Answered]) -> Iterator[tuple[Feedback, Any, Any]]:
    """Iterate over true values with the JSON of the answer and of the request, which is None where it is not known."""
    for one in told:
        found = answers.get(one.request_id)
        if found is not None:
            with suppress(ValueError):  # an answer that is no JSON
                yield one, json.loads(found.outputs), None if found.inputs is None else json.loads(found.inputs)
