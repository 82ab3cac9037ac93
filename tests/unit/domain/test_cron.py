"""Moments of cron expressions, compared with a plain search through all minutes of a month."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import pairwise, takewhile
from typing import Final
from zoneinfo import ZoneInfo

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from raylift.domain.schedules.cron import cron_error, first_moment_after, moments_after, time_zone_error

ZONES: Final = (
    "UTC",
    "Europe/Berlin",
    "Europe/Dublin",
    "America/New_York",
    "America/St_Johns",
    "America/Santiago",  # The clock changes at midnight.
    "Africa/Cairo",
    "Asia/Kolkata",
    "Asia/Kathmandu",
    "Australia/Sydney",
    "Pacific/Chatham",
    "Antarctica/Troll",  # By two hours.
)
HOUR: Final = timedelta(hours=1)
CHANGES: Final = (datetime(2026, 3, 8, tzinfo=UTC), datetime(2026, 3, 29, tzinfo=UTC), datetime(2026, 4, 5, tzinfo=UTC),
                  datetime(2026, 4, 24, tzinfo=UTC), datetime(2026, 9, 6, tzinfo=UTC), datetime(2026, 9, 27, tzinfo=UTC),
                  datetime(2026, 10, 4, tzinfo=UTC), datetime(2026, 10, 25, tzinfo=UTC), datetime(2026, 10, 30, tzinfo=UTC),
                  datetime(2026, 11, 1, tzinfo=UTC))  # fmt: skip
"""Days on which some of the zones change their clocks, or the day before."""


def upto(expression: str, zone: str, start: datetime, end: datetime) -> list[datetime]:
    return list(takewhile(lambda moment: moment <= end, moments_after(expression, zone, start)))


def searched(minutes: set[int], hours: set[int], zone: str, start: datetime, end: datetime, *, fixed: bool) -> list[datetime]:
    """Every minute of the period whose local time matches. Fixed: Vixie cron's rule for the gap and the repetition."""
    tz, found = ZoneInfo(zone), set[datetime]()
    moment = start.replace(second=0, microsecond=0)
    while (moment := moment + timedelta(minutes=1)) <= end:
        local = moment.astimezone(tz)
        if local.minute in minutes and local.hour in hours and not (fixed and local.fold):
            found.add(moment)
    if fixed:
        found |= {moment for moment in _after_gaps(minutes, hours, tz, start, end) if start < moment <= end}
    return sorted(found)


def _after_gaps(minutes: set[int], hours: set[int], tz: ZoneInfo, start: datetime, end: datetime) -> set[datetime]:
    found = set[datetime]()
    day = start.astimezone(tz).date() - timedelta(days=1)
    while day <= end.astimezone(tz).date():
        for hour in hours:
            for minute in minutes:
                wall = datetime(day.year, day.month, day.day, hour, minute)  # noqa: DTZ001 (as on the wall)
                while (shown := wall.replace(tzinfo=tz)) != shown.astimezone(UTC).astimezone(tz):
                    wall += timedelta(minutes=1)
                found.add(shown.astimezone(UTC))
        day += timedelta(days=1)
    return found


moments = st.builds(lambda day, minutes: day + timedelta(minutes=minutes), st.sampled_from(CHANGES), st.integers(-1500, 1500))
minute_sets = st.sets(st.integers(0, 59), min_size=1, max_size=3)
hour_sets = st.sets(st.integers(0, 23), min_size=1, max_size=6)


def listed(values: set[int]) -> str:
    return ",".join(map(str, sorted(values)))


@settings(max_examples=60, deadline=None)
@given(st.sampled_from(ZONES), moments, minute_sets, hour_sets)
@example("Europe/Berlin", datetime(2026, 10, 25, 1, 10, tzinfo=UTC), {30}, {2})
@example("Europe/Berlin", datetime(2026, 3, 28, 12, tzinfo=UTC), {0, 30}, {2, 3})
def test_fixed_time_comes_once_a_day(zone: str, start: datetime, minutes: set[int], hours: set[int]) -> None:
    end = start + timedelta(days=2)
    found = upto(f"{listed(minutes)} {listed(hours)} * * *", zone, start, end)
    assert found == searched(minutes, hours, zone, start, end, fixed=True)
    assert all(earlier < later for earlier, later in pairwise(found))


@settings(max_examples=40, deadline=None)
@given(st.sampled_from(ZONES), moments, st.sampled_from((1, 5, 15, 20, 30)), hour_sets)
def test_expression_with_a_star_follows_the_clock(zone: str, start: datetime, step: int, hours: set[int]) -> None:
    end = start + timedelta(days=2)
    found = upto(f"*/{step} {listed(hours)} * * *", zone, start, end)
    assert found == searched(set(range(0, 60, step)), hours, zone, start, end, fixed=False)


@settings(max_examples=30, deadline=None)
@given(st.sampled_from(ZONES), moments, minute_sets, st.sampled_from((1, 2, 3, 6)))
def test_hours_with_a_star_follow_the_clock(zone: str, start: datetime, minutes: set[int], step: int) -> None:
    end = start + timedelta(days=2)
    hours = set(range(0, 24, step))
    found = upto(f"{listed(minutes)} */{step} * * *", zone, start, end)
    assert found == searched(minutes, hours, zone, start, end, fixed=False)


@settings(max_examples=60, deadline=None)
@given(st.sampled_from(ZONES), moments, st.sampled_from(("30 2 * * *", "*/20 * * * *", "0 */2 * * *", "15 1,2,3 * * *")))
def test_each_moment_follows_from_any_earlier_time(zone: str, start: datetime, expression: str) -> None:
    """A supervisor that looks again at any time sees the same moments: none is doubled, none is lost."""
    end = start + timedelta(days=2)
    whole = upto(expression, zone, start, end)
    pieces = list[datetime]()
    at = start
    while at < end:
        step = min(at + timedelta(minutes=37), end)
        pieces += upto(expression, zone, at, step)
        at = step
    assert pieces == whole


def test_gap_and_repetition_in_berlin() -> None:
    spring, autumn = datetime(2026, 3, 28, 12, tzinfo=UTC), datetime(2026, 10, 24, 12, tzinfo=UTC)
    assert first_moment_after("30 2 * * *", "Europe/Berlin", spring) == datetime(2026, 3, 29, 1, tzinfo=UTC)
    first, second = upto("30 2 * * *", "Europe/Berlin", autumn, autumn + timedelta(days=2))
    assert (first, second) == (datetime(2026, 10, 25, 0, 30, tzinfo=UTC), datetime(2026, 10, 26, 1, 30, tzinfo=UTC))


def test_aliases() -> None:
    now = datetime(2026, 5, 5, 5, 5, tzinfo=UTC)
    assert first_moment_after("@daily", "UTC", now) == datetime(2026, 5, 6, tzinfo=UTC)
    assert first_moment_after("@hourly", "UTC", now) == now.replace(hour=6, minute=0)


@pytest.mark.parametrize(
    "wrong", ["", "* * *", "61 * * * *", "0 3 * * * *", "@reboot", "0 0 30 2 *", "0 0 31 4,6 *", "x y z a b"]
)
def test_wrong_expression_is_refused(wrong: str) -> None:
    assert cron_error(wrong)


@pytest.mark.parametrize("right", ["0 3 * * *", "*/5 9-17 * * MON-FRI", "0 0 L * *", "0 0 29 2 *", "@weekly"])
def test_right_expression_is_taken(right: str) -> None:
    assert cron_error(right) is None


def test_time_zone_must_exist() -> None:
    assert time_zone_error("Europe/Berlin") is None
    assert "did you mean 'Europe/Berlin'" in str(time_zone_error("Europe/Berln"))
    assert time_zone_error("../etc/passwd")
    assert time_zone_error("localtime")
