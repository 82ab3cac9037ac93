"""Compares a candidate with its champion: observations of a rollout, and the reason for which they end it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from itertools import accumulate
from typing import Final

from raylift.domain.models import counters
from raylift.domain.models.counters import VersionCounts, quantile
from raylift.domain.models.quality import Quality
from raylift.domain.models.series import ERRORS, growth
from raylift.domain.rollouts.rollout import Both, Rollout, Watch
from raylift.domain.rollouts.sequential import Outcomes, SequentialTest

LEAST_REQUESTS: Final = 100
"""Requests of a version before its latency, or its RMSE, counts."""
LATENCY_SLACK_SECONDS: Final = 0.005
"""A p95 that is longer by less is never a reason: buckets of the histogram are as coarse."""

Qualities = tuple[Quality, Quality]
"""Quality of the champion and of the candidate, since the rollout began."""


def figures(found: Iterable[VersionCounts], version: str) -> dict[str, float]:
    """Return the counters of a version that a rollout watches; none where it has not answered yet."""
    counts = next((each for each in found if each.version == version), None)
    if counts is None:
        return {}
    kept = {ERRORS: counts.errors, **{name: counts.of(name) for name in (counters.FINISHED, *counters.SECONDS)}}
    return {name: value for name, value in kept.items() if value}


def observe(rollout: Rollout, counts: Both, quality: Qualities | None) -> Watch:
    """Return the observations with what the counters grew by."""
    watch = _tested(rollout, counts)
    champion, candidate = _grown(counts, watch.step)
    watch = replace(
        watch,
        step_requests=_requests(candidate),
        champion_p95_seconds=_p95(champion) or watch.champion_p95_seconds,
        candidate_p95_seconds=_p95(candidate),
    )
    return watch if quality is None else _with_quality(watch, *quality)


def failure(rollout: Rollout, watch: Watch) -> str | None:
    """Return the reason for which the rollout ends, with numbers; None where every guard holds."""
    guards, candidate, champion = rollout.plan.guards, rollout.candidate, rollout.champion
    if guards.error_increase is not None and _rejects(watch.errors, guards.error_increase, guards.false_alarm):
        return (
            f"Version {candidate} failed {_share(watch.errors.candidate)} of its requests, version {champion} "
            f"{_share(watch.errors.champion)}: p = {watch.errors.p_value:.2g}, and {guards.false_alarm:g} is the limit."
        )
    before, after = watch.champion_p95_seconds, watch.candidate_p95_seconds
    limit = guards.p95_ratio
    if limit and before and after and after > before * limit and after - before > LATENCY_SLACK_SECONDS:
        return (
            f"The p95 latency of version {candidate} is {after * 1000:.1f} ms, that of version {champion} "
            f"{before * 1000:.1f} ms: {after / before:.2g} times as long, and {limit:g} is the limit."
        )
    if guards.quality_drop is not None and _rejects(watch.quality, guards.quality_drop, guards.false_alarm):
        return (
            f"Of answers with feedback, version {candidate} has {_share(watch.quality.candidate)} wrong, version {champion} "
            f"{_share(watch.quality.champion)}: p = {watch.quality.p_value:.2g}, and {guards.false_alarm:g} is the limit."
        )
    old, new, limit = watch.champion_rmse, watch.candidate_rmse, guards.rmse_ratio
    if limit and old and new and new > old * limit:
        return (
            f"The RMSE of version {candidate} is {new:.4g}, that of version {champion} {old:.4g}: {new / old:.2g} times as "
            f"much, and {limit:g} is the limit."
        )
    return None


def _tested(rollout: Rollout, counts: Both) -> Watch:
    watch = rollout.watch
    champion, candidate = map(_outcomes, _grown(counts, watch.last))
    if rollout.is_whole and candidate.requests:
        errors = watch.errors.after_alone(candidate, tolerance=rollout.plan.guards.error_increase or 0.0)
    elif champion.requests and candidate.requests:
        errors = watch.errors.after(champion, candidate)
    else:
        return watch  # A block has requests of both: it grows until then.
    return replace(watch, errors=errors, last=counts)


def _with_quality(watch: Watch, champion: Quality, candidate: Quality) -> Watch:
    if champion.rmse is not None and candidate.rmse is not None:
        enough = min(champion.rows, candidate.rows) >= LEAST_REQUESTS
        return replace(watch, champion_rmse=champion.rmse, candidate_rmse=candidate.rmse) if enough else watch
    new = (_wrong(champion, watch.quality.champion), _wrong(candidate, watch.quality.candidate))
    # True values may be corrected or forgotten: what shrank is no evidence.
    if all(each.requests > 0 and 0 <= each.failures <= each.requests for each in new):
        return replace(watch, quality=watch.quality.after(*new))
    return watch


def _wrong(quality: Quality, seen: Outcomes) -> Outcomes:
    """Return the rows that came since, and the wrong ones among them."""
    right = round((quality.accuracy or 0.0) * quality.rows)
    return Outcomes(quality.rows - seen.requests, quality.rows - right - seen.failures)


def _rejects(test: SequentialTest, increase: float, false_alarm: float) -> bool:
    return test.p_value < false_alarm and test.candidate.rate - test.champion.rate > increase


def _grown(now: Both, before: Both) -> tuple[Mapping[str, float], Mapping[str, float]]:
    return growth(now.champion, before.champion), growth(now.candidate, before.candidate)


def _requests(grown: Mapping[str, float]) -> int:
    return round(grown.get(counters.FINISHED, 0.0))


def _outcomes(grown: Mapping[str, float]) -> Outcomes:
    requests = _requests(grown)
    return Outcomes(requests, min(round(grown.get(ERRORS, 0.0)), requests))


def _p95(grown: Mapping[str, float]) -> float | None:
    if _requests(grown) < LEAST_REQUESTS:
        return None
    cumulative = list(accumulate(grown.get(name, 0.0) for name in counters.SECONDS))
    return quantile(0.95, cumulative, counters.SECONDS_BOUNDS)


def _share(outcomes: Outcomes) -> str:
    return f"{outcomes.failures:,} of {outcomes.requests:,} ({outcomes.rate:.2%})"
