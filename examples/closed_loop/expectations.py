"""Checks at the end: the alerts, promotions and rollbacks that the days must have brought, read from the platform."""

from __future__ import annotations

from collections.abc import Iterator

from deliveries import World
from report import Diary

RECOVERS_WITHIN_DAYS = 6
"""Days from a drift to a rolled out version that knows it: a day until its rows are there, and a day for each step."""
ROLLED_BACK_WITHIN_DAYS = 3
GOOD_ACCURACY = 0.88


def problems_of(diary: Diary, world: World, days: int, failures: list[str]) -> list[str]:
    """Return what should have happened and did not."""
    drifts = {"distance_km": world.suburbs_from, "weather": world.winter_from}
    return [
        *(f"a customer got an error: {failure}" for failure in failures[:3]),
        *_of_nights(diary, days),
        *(problem for column, day in drifts.items() if day < days for problem in _of_drift(diary, column, day, days)),
        *(_of_the_bad_version(diary, world.broken_export, days) if world.broken_export else ()),
        *_of_the_audit(diary),
    ]


def _of_nights(diary: Diary, days: int) -> Iterator[str]:
    runs = list(diary.client.schedules.runs(diary.model))
    trained = sum(run.job_status == "completed" for run in runs)
    if trained != days:
        yield f"{trained} nights of {days} trained a model: {[run.message for run in runs if run.job_status != 'completed']}"


def _of_drift(diary: Diary, column: str, day: int, days: int) -> Iterator[str]:
    if not any(alert.feature == column for seen in (day, day + 1) for alert in diary.alerts[seen]):
        yield f"no alert of {column} on day {day} or {day + 1}"
    last = day + RECOVERS_WITHIN_DAYS
    if last > days:
        return
    rollouts = [each for each in diary.client.rollouts.list(model=diary.model) if each.status == "completed"]
    if not any(day <= diary.day_of(each.candidate) < last for each in rollouts):
        yield f"no version that was trained after the drift of day {day} took over within {RECOVERS_WITHIN_DAYS} days"
    if diary.accuracy.get(last, 0.0) < GOOD_ACCURACY:
        yield f"the accuracy on day {last}, after the drift of day {day}, is {diary.accuracy.get(last)}"


def _of_the_bad_version(diary: Diary, day: int, days: int) -> Iterator[str]:
    last = day + ROLLED_BACK_WITHIN_DAYS
    if last > days:
        return
    bad = [each for each in diary.client.rollouts.list(model=diary.model) if diary.day_of(each.candidate) == day]
    if [each.status for each in bad] != ["rolled_back"]:
        yield f"the version of the broken export should have been rolled back: {[each.status for each in bad]}"
    elif "wrong" not in bad[0].message:
        yield f"the bad version was rolled back for another reason: {bad[0].message}"
    if bad and bad[0].candidate in {diary.champion[later] for later in range(day, days + 1)}:
        yield f"the bad version {bad[0].candidate} became the champion"


def _of_the_audit(diary: Diary) -> Iterator[str]:
    """Compare the audit with the rollouts and alerts: it must have each of them."""
    told = {(entry.action, entry.target) for entries in diary.audit.values() for entry in entries}
    for rollout in diary.client.rollouts.list(model=diary.model):
        if not rollout.active and (f"rollout.{rollout.status}", rollout.rollout_id) not in told:
            yield f"the audit does not tell that {rollout.rollout_id} was {rollout.status}"
    for version in {*diary.champion.values()}:
        for alert in diary.client.monitors.alerts(diary.model, version):
            if ("monitor.alert", f"{diary.model}/{version}") not in told:
                yield f"the audit does not tell the alert of {alert.feature} of version {version}"
