"""Steps of a time series: their length, and those in which nothing happened."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Final

from raylift.domain.errors import FieldError, InvalidRequest
from raylift.domain.models.series import MINUTE, MINUTES_KEPT, TEN_MINUTES, Baseline, Interval, Key, aligned, merge

_MOST_POINTS: Final = 1500
_USUAL_POINTS: Final = 250
_STEPS: Final = (MINUTE, TEN_MINUTES, 1800, 3600, 10_800, 21_600, 86_400)


def default_step(since: datetime, until: datetime, now: datetime) -> int:
    """Return the shortest step that is kept for so long and gives a chart's number of points."""
    possible = [step for step in _STEPS if step >= TEN_MINUTES or now - since <= MINUTES_KEPT]
    return next((step for step in possible if _points(since, until, step) <= _USUAL_POINTS), possible[-1])


def check_step(step_seconds: int, since: datetime, until: datetime, now: datetime) -> None:
    """Raise InvalidRequest for steps that are not recorded, or too many."""
    if step_seconds % MINUTE:
        raise InvalidRequest.of(FieldError("step", "is in seconds, and a multiple of 60"))
    if step_seconds % TEN_MINUTES and now - since > MINUTES_KEPT + timedelta(seconds=TEN_MINUTES):
        raise InvalidRequest.of(FieldError("step", "needs a multiple of 600 here: minutes are kept for a day only"))
    if (points := _points(since, until, step_seconds)) > _MOST_POINTS:
        raise InvalidRequest.of(
            FieldError("step", f"gives {points} points, at most {_MOST_POINTS} are sent: take a longer one")
        )


def fill(
    key: Key, found: Sequence[Interval], baseline: Baseline | None, *, start: datetime, end: datetime, step_seconds: int
) -> list[Interval]:
    """Return one interval for each step from ``start`` to ``end``.

    Args:
        key: the version.
        found: what was recorded, in order of time. One from before ``start`` tells the processes at the start.
        baseline: the processes where nothing is found: they have been the same for longer than intervals are kept.
        start: of the first step.
        end: of the last step, which may be shorter.
        step_seconds: length of a step.
    """
    merged = {interval.start_at: interval for interval in merge((one for one in found if one.start_at >= start), step_seconds)}
    before = next((one for one in found if one.start_at < start), baseline)
    replicas, warm = (before.replicas, before.warm) if before else (0, 0)
    filled: list[Interval] = []
    moment = start
    while moment < end:
        interval = merged.get(moment) or Interval(*key, step_seconds, moment, {}, 0.0, replicas, warm)
        replicas, warm = interval.replicas, interval.warm
        filled.append(interval)
        moment += timedelta(seconds=step_seconds)
    return filled


def _points(since: datetime, until: datetime, step_seconds: int) -> int:
    return -int((aligned(since, step_seconds) - until).total_seconds() // step_seconds)
