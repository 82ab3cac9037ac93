"""Raises and ends alerts: only after several windows in a row, so that one odd window changes nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final

from raylift.domain.monitoring.monitor import Alert, Check, Figures, MonitorSettings

BELOW: Final = 0.8
"""An alert about a column ends below this share of its limit, not just below the limit."""


@dataclass(frozen=True, slots=True)
class Finding:
    """A check of a window: its value, and whether that speaks for or against an alert."""

    check: Check
    feature: str
    segment: str | None
    value: float
    limit: float
    raises: bool
    """True: it speaks for an alert."""
    ends: bool
    """True: it speaks for the end of an alert. With neither, an alert stays as it is."""

    @property
    def key(self) -> str:
        return alert_key(self.check, self.feature, self.segment)


@dataclass(frozen=True, slots=True)
class Verdict:
    """The alerts that a window raises and ends."""

    raised: Sequence[Alert]
    ended: Sequence[Alert]
    streaks: Mapping[str, int]


def judge(
    findings: Sequence[Finding],
    *,
    version: tuple[str, str],
    window_at: datetime,
    consecutive_windows: int,
    streaks: Mapping[str, int],
    open_alerts: Sequence[Alert],
    now: datetime,
    new_id: Callable[[], str],
) -> Verdict:
    """Decide what the findings of a window mean for the alerts. A check without a finding keeps its streak."""
    is_open = {alert_key(alert.check, alert.feature, alert.segment): alert for alert in open_alerts}
    raised: list[Alert] = []
    ended: list[Alert] = []
    after = dict(streaks)
    for each in findings:
        alert = is_open.get(each.key)
        speaks = each.raises if alert is None else each.ends
        streak = after.pop(each.key, 0) + 1 if speaks else 0
        after.pop(each.key, None)
        if streak < consecutive_windows:
            if streak:
                after[each.key] = streak
        elif alert is None:
            names = (*version, each.check, each.feature, each.segment)
            raised.append(Alert(new_id(), *names, each.value, each.limit, window_at, now))
        else:
            ended.append(replace(alert, ended_at=now))
    return Verdict(raised, ended, after)


def column_findings(found: Sequence[Figures], settings: MonitorSettings) -> Iterator[Finding]:
    """Compare the figures of columns with their limits."""
    for figures, check, value, limit in _checks(found, settings):
        names = (check, figures.feature, figures.segment)
        yield Finding(*names, value, limit, raises=value > limit, ends=value < limit * BELOW)


def breaches(figures: Figures, settings: MonitorSettings) -> tuple[Check, ...]:
    """Return the checks of a column that are beyond their limits."""
    return tuple(check for _, check, value, limit in _checks([figures], settings) if value > limit)


def alert_key(check: Check, feature: str, segment: str | None) -> str:
    return f"{check}|{segment or ''}|{feature}"


def _checks(found: Sequence[Figures], settings: MonitorSettings) -> Iterator[tuple[Figures, Check, float, float]]:
    for each in found:
        if each.psi is not None and each.psi_limit is not None:
            yield each, Check.DRIFT, each.psi, each.psi_limit
        # The reference's own share of missing values is already subtracted.
        yield each, Check.MISSING, each.missing_excess, each.share_limit(settings.missing_threshold)
        if not each.is_answer:
            yield each, Check.UNSEEN, each.unseen, each.share_limit(settings.unseen_threshold)
            yield each, Check.RANGE, each.outside, each.share_limit(settings.range_threshold)
