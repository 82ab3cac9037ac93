"""Moments of a cron expression in a time zone, as Vixie cron has them around changes of the clock.

An expression whose minute and hour are fixed (``30 2 * * *``) runs once a day: a moment that the clock leaves out comes at the
end of the gap, and one that the clock repeats comes the first time only. An expression that begins minute or hour with ``*``
follows the clock: what is left out does not come, and what is repeated comes twice.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterator
from datetime import UTC, datetime
from functools import cache
from typing import Final
from zoneinfo import ZoneInfo, available_timezones

from cronsim import CronSim, CronSimError

from raylift.domain.schedules.schedule import Timetable, jitter_of

ALIASES: Final = {
    "@hourly": "0 * * * *",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@weekly": "0 0 * * 0",
    "@monthly": "0 0 1 * *",
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
}
_FIELDS: Final = 5
_ANY_TIME: Final = datetime(2024, 1, 1, tzinfo=UTC)
_FORM: Final = "minute hour day-of-month month day-of-week, such as '0 3 * * *', or one of " + ", ".join(ALIASES)


def cron_error(expression: str) -> str | None:
    """Return what is wrong with a cron expression, or None."""
    text = ALIASES.get(expression, expression)
    if len(text.split()) != _FIELDS:
        return f"is {expression!r}; write five fields: {_FORM}"
    try:
        next(CronSim(text, _ANY_TIME))
    except CronSimError as error:
        return f"is {expression!r}, which is no cron expression ({error}); write {_FORM}"
    except StopIteration:
        return f"is {expression!r}, which matches no day of the next 50 years"
    return None


def time_zone_error(name: str) -> str | None:
    """Return what is wrong with the name of a time zone, or None."""
    names = _time_zones()
    if name in names:
        return None
    close = difflib.get_close_matches(name, sorted(names), n=1)
    hint = f"; did you mean {close[0]!r}?" if close else ", such as 'Europe/Berlin' or 'UTC'"
    return f"is {name!r}; write a name of the IANA time zone database{hint}"


def moments_after(expression: str, time_zone: str, after: datetime) -> Iterator[datetime]:
    """Yield the moments after ``after``, in UTC, each later than the one before."""
    last = after.astimezone(UTC)
    for moment in CronSim(ALIASES.get(expression, expression), last.astimezone(ZoneInfo(time_zone))):
        found = moment.astimezone(UTC)
        # Within a repeated hour the library begins with the first pass, which may be over.
        if found > last:
            yield found
            last = found


def first_moment_after(expression: str, time_zone: str, after: datetime) -> datetime | None:
    """Return the next moment in UTC; None where there is none within 50 years."""
    return next(moments_after(expression, time_zone, after), None)


def wake_time(schedule_id: str, timetable: Timetable, after: datetime) -> datetime | None:
    """Return the time of the first moment after ``after``, with its jitter; None where there is none."""
    following = first_moment_after(timetable.cron, timetable.timezone, after)
    return following and following + jitter_of(schedule_id, following, timetable.jitter_seconds)


@cache
def _time_zones() -> frozenset[str]:
    return frozenset(available_timezones() - {"localtime"})
