"""The monitor of a version: its settings, windows and alerts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from math import sqrt
from typing import Any, Final

from raylift.domain.models.series import aligned
from raylift.domain.monitoring.quality_window import ScoreState
from raylift.domain.monitoring.reference import Reference

LONGEST_WINDOWS: Final = 24
"""A window with too few rows goes on until it is so many times as long."""
_SIGMAS: Final = 4.0


class Check(StrEnum):
    """Something that is watched; the first ones of each column of the inputs or of the answers."""

    DRIFT = "drift"
    """Another distribution of the values than in the reference."""
    MISSING = "missing"
    """More missing values."""
    UNSEEN = "unseen"
    """Values that the training did not have."""
    RANGE = "range"
    """Numbers outside of the range of the training."""
    VOLUME = "volume"
    """Fewer rows than expected; of the version as a whole, as the next ones."""
    ACCURACY = "accuracy"
    AUC = "auc"
    RMSE = "rmse"
    LOG_LOSS = "log_loss"
    CALIBRATION = "calibration"


@dataclass(frozen=True, slots=True)
class MonitorSettings:
    enabled: bool = True
    window_seconds: int = 3600
    minimum_rows: int = 200
    """Sketched rows that a window needs to be compared."""
    consecutive_windows: int = 2
    """Windows in a row beyond a threshold that raise an alert, and below it that end it."""
    drift_threshold: float = 0.2
    """Population stability index, beyond what chance explains."""
    missing_threshold: float = 0.05
    """More missing values than in the training, as a share of the rows; likewise the others."""
    unseen_threshold: float = 0.02
    range_threshold: float = 0.05
    segment_column: str | None = None
    """Column of categories, for whose most frequent values everything is also compared."""
    minimum_volume: int | None = None
    """Rows that the version must answer in a window; 1 finds silence. None: any number is fine."""
    volume_drop: float | None = None
    """Share by which rows may be fewer than in the same window of the last seven days. None: they are not compared."""
    minimum_feedback: int = 100
    """Rows with true values that a window needs for its quality."""
    quality_drop: float | None = 0.05
    """Drop of accuracy or AUC below the baseline, and the share by which RMSE or log loss may be above. None: not compared."""
    quality_baseline: str | None = None
    """Alias or version whose quality in the same window is the baseline. None: the version's own first window."""
    minimum_accuracy: float | None = None
    """Limits of the quality. None: there is no limit."""
    minimum_auc: float | None = None
    maximum_rmse: float | None = None
    maximum_log_loss: float | None = None
    maximum_calibration_error: float | None = None


@dataclass(frozen=True, slots=True)
class Figures:
    """A column of a window in comparison with the reference."""

    feature: str
    """The column's name; ``answer`` of the answers."""
    is_answer: bool
    segment: str | None
    rows: int
    psi: float | None
    """Population stability index. None where there is nothing to compare, as are the next ones."""
    psi_limit: float | None
    """Threshold with what chance explains in so many rows."""
    jensen_shannon: float | None
    """Distance, 0 to 1 (base 2)."""
    ks: float | None
    """Kolmogorov-Smirnov statistic of the binned numbers; None for categories."""
    ks_p: float | None
    chi_square_p: float | None
    missing: float
    """Share of the rows, as the next ones."""
    missing_before: float
    """Share in the reference."""
    unseen: float
    outside: float
    breaches: tuple[Check, ...] = ()
    """Checks whose values are beyond their limits."""

    @property
    def missing_excess(self) -> float:
        return max(0.0, self.missing - self.missing_before)

    def share_limit(self, threshold: float) -> float:
        """Return the limit of a share: its threshold with what chance explains in so many rows."""
        return threshold + _SIGMAS * sqrt(threshold * (1 - threshold) / max(self.rows, 1))


@dataclass(frozen=True, slots=True)
class Window:
    """A closed window of a version in which it answered."""

    model_name: str
    version: str
    start_at: datetime
    end_at: datetime
    rows_seen: int
    rows_sketched: int
    is_compared: bool
    """False: it had too few rows."""
    figures: Sequence[Figures]
    """Those of answers first, then by PSI."""


@dataclass(frozen=True, slots=True)
class Alert:
    """A check that is beyond its limit in several windows in a row."""

    alert_id: str
    model_name: str
    version: str
    check: Check
    feature: str
    """Column, ``answer``, or ``requests`` of a volume."""
    segment: str | None
    value: float
    """In the window that raised it, as is ``limit``."""
    limit: float
    window_at: datetime
    """Start of that window."""
    raised_at: datetime
    ended_at: datetime | None = None
    """None while it is open."""


@dataclass(frozen=True, slots=True)
class MonitorState:
    """Counters and streaks that the next window begins with."""

    counts: Mapping[str, float] = field(default_factory=dict[str, float])
    """Counters of the sketch at the end of the last window."""
    first: Mapping[str, float] = field(default_factory=dict[str, float])
    """Counters of the first answers, and of the first rows of segments, which later ones are compared with."""
    streaks: Mapping[str, int] = field(default_factory=dict[str, int])
    """By check: windows in a row that speak for a change of its alert."""


@dataclass(frozen=True, slots=True)
class Monitor:
    """The watch over a version."""

    model_name: str
    version: str
    settings: MonitorSettings
    reference: Reference | None
    """None where the version has none, or where it is not known yet."""
    is_read: bool
    """True once the version's files were asked for the reference."""
    state: MonitorState
    since: datetime
    """Start of the open window."""
    updated_at: datetime
    revision: int = 0
    """Grows with each change; writers name the one that they read."""
    scored_until: datetime | None = None
    """Start of the open window of volume and quality; None before the first."""
    scores: ScoreState | None = None
    """Counters and streaks that this window begins with."""


def window_end(since: datetime, settings: MonitorSettings, now: datetime) -> datetime | None:
    """Return the end of the window that began at ``since``, if it is over. After a longer pause it is the last boundary."""
    end = aligned(now, settings.window_seconds)
    return end if end > since else None


def is_hopeless(since: datetime, end: datetime, settings: MonitorSettings) -> bool:
    """Tell whether a window with too few rows has lasted long enough."""
    return end - since >= timedelta(seconds=LONGEST_WINDOWS * settings.window_seconds)


def alert_data(alert: Alert) -> dict[str, Any]:
    """Return an alert as JSON values, for events."""
    return {
        "alert_id": alert.alert_id,
        "check": alert.check,
        "feature": alert.feature,
        "segment": alert.segment,
        "value": round(alert.value, 6),
        "limit": round(alert.limit, 6),
        "raised_at": alert.raised_at.isoformat(),
        "ended_at": None if alert.ended_at is None else alert.ended_at.isoformat(),
    }
