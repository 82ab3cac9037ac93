"""Versions that load, but whose processes die."""

from __future__ import annotations

from itertools import count

import pytest

from raylift.domain.models.deployment import ApplicationSnapshot, ApplicationState
from raylift.engines.ray_engine.crash_loops import MOST_DEATHS, WITHIN_SECONDS, CrashLoops

KEY = ("m", "1")
WELL = ApplicationSnapshot(ApplicationState.RUNNING, 1)
DEAD = ApplicationSnapshot(ApplicationState.STARTING, 0, replica_died=True)


def seen(
    loops: CrashLoops, apps: list[ApplicationSnapshot], *, every: float = 1.0, start: float = 0.0
) -> list[ApplicationState]:
    return [loops.judged({KEY: app}, start + every * number)[KEY].state for number, app in zip(count(), apps, strict=False)]


def test_repeated_deaths_are_a_failure_with_a_message() -> None:
    loops = CrashLoops()
    assert ApplicationState.FAILED not in seen(loops, [DEAD, WELL] * (MOST_DEATHS - 1))
    failed = loops.judged({KEY: DEAD}, 20.0)[KEY]
    assert failed.state is ApplicationState.FAILED
    assert failed.message is not None
    assert f"died {MOST_DEATHS} times in 20 s" in failed.message


def test_death_counts_once() -> None:
    assert set(seen(CrashLoops(), [DEAD] * 50)) == {ApplicationState.STARTING}


def test_old_deaths_do_not_count() -> None:
    rare = seen(CrashLoops(), [DEAD, WELL] * 20, every=WITHIN_SECONDS / MOST_DEATHS)
    assert ApplicationState.FAILED not in rare


@pytest.mark.parametrize("between", [WELL, None])
def test_new_try_resets_the_count(between: ApplicationSnapshot | None) -> None:
    loops = CrashLoops()
    assert seen(loops, [DEAD, WELL] * MOST_DEATHS)[-2] is ApplicationState.FAILED
    loops.judged({KEY: between} if between else {}, 30.0)
    assert ApplicationState.FAILED not in seen(loops, [DEAD, WELL] * (MOST_DEATHS - 1), start=31.0)


def test_other_versions_do_not_fail() -> None:
    loops = CrashLoops()
    for number in range(2 * MOST_DEATHS):
        judged = loops.judged({KEY: WELL if number % 2 else DEAD, ("m", "2"): WELL}, float(number))
        assert judged["m", "2"] == WELL
