"""Raises and ends alerts: only after several windows in a row, so that one odd window changes nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final

from raylift.domain.monitoring.monitor import Alert, Check, Figures, MonitorSettings, Window

BELOW: Final = 0.8
"""An alert ends below this share of its limit, not just below the limit."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """The alerts that a window raises and ends."""

    raised: Sequence[Alert]
    ended: Sequence[Alert]
    streaks: Mapping[str, int]


def judge(
    window: Window,
    *,
    settings: MonitorSettings,
    streaks: Mapping[str, int],
    open_alerts: Sequence[Alert],
    now: datetime,
    new_id: Callable[[], str],
) -> Verdict:
    """Decide what a compared window means for the alerts."""
    is_open = {_key(alert.check, alert.feature, alert.segment): alert for alert in open_alerts}
    raised: list[Alert] = []
    ended: list[Alert] = []
    after: dict[str, int] = {}
    for figures, check, value, limit in _checks(window.figures, settings):
        key = _key(check, figures.feature, figures.segment)
        alert = is_open.get(key)
        speaks = value > limit if alert is None else value < limit * BELOW
        streak = streaks.get(key, 0) + 1 if speaks else 0
        if streak < settings.consecutive_windows:
            if streak:
                after[key] = streak
        elif alert is None:
            at = (window.start_at, now)
            names = (window.model_name, window.version, check, figures.feature, figures.segment)
            raised.append(Alert(new_id(), *names, value, limit, *at))
        else:
            ended.append(replace(alert, ended_at=now))
    return Verdict(raised, ended, after)


def breaches(figures: Figures, settings: MonitorSettings) -> tuple[Check, ...]:
    """Return the checks of a column that are beyond their limits."""
    return tuple(check for _, check, value, limit in _checks([figures], settings) if value > limit)


def _checks(found: Sequence[Figures], settings: MonitorSettings) -> Iterator[tuple[Figures, Check, float, float]]:
    for each in found:
        if each.psi is not None and each.psi_limit is not None:
            yield each, Check.DRIFT, each.psi, each.psi_limit
        # The reference's own share of missing values is already subtracted.
        yield each, Check.MISSING, each.missing_excess, each.share_limit(settings.missing_threshold)
        if not each.is_answer:
            yield each, Check.UNSEEN, each.unseen, each.share_limit(settings.unseen_threshold)
            yield each, Check.RANGE, each.outside, each.share_limit(settings.range_threshold)


def _key(check: Check, feature: str, segment: str | None) -> str:
    return f"{check}|{segment or ''}|{feature}"
