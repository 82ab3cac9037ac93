"""Compares volume and quality of a window with their limits.

An alert is raised where the whole interval of 95 % is beyond the limit, not where an estimate of few rows is. A baseline gives
a limit from the bound of its own interval. Both intervals thus allow for chance.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from raylift.domain.models.quality import Quality
from raylift.domain.monitoring.hysteresis import Finding
from raylift.domain.monitoring.monitor import Check, MonitorSettings

REQUESTS: Final = "requests"
"""Feature of a volume."""
ANSWER: Final = "answer"
"""Feature of a quality."""


@dataclass(frozen=True, slots=True)
class _Measure:
    value: float | None
    low: float | None
    high: float | None


def volume_finding(rows: float, expected: float | None, settings: MonitorSettings) -> Finding | None:
    """Compare the rows of a window with the fewest that are expected; None where the settings expect nothing."""
    least = [] if settings.minimum_volume is None else [float(settings.minimum_volume)]
    if settings.volume_drop is not None and expected is not None:
        least.append(expected * (1.0 - settings.volume_drop))
    if not least:
        return None
    limit = max(least)
    return Finding(Check.VOLUME, REQUESTS, None, rows, limit, raises=rows < limit, ends=rows >= limit)


def quality_findings(
    quality: Quality, segment: str | None, baseline: Quality | None, settings: MonitorSettings
) -> Iterator[Finding]:
    """Compare the quality of a window with the limits of the settings, and with a baseline."""
    for check, now in _measures(quality).items():
        before = None if baseline is None else _measures(baseline)[check]
        if now.value is None or now.low is None or now.high is None:
            continue
        limits = [limit for limit in (_fixed(settings)[check], _relative(check, before, settings)) if limit is not None]
        if not limits:
            continue
        if check in _HIGHER_IS_BETTER:
            limit = max(limits)
            yield Finding(check, ANSWER, segment, now.value, limit, raises=now.high < limit, ends=now.value >= limit)
        else:
            limit = min(limits)
            yield Finding(check, ANSWER, segment, now.value, limit, raises=now.low > limit, ends=now.value <= limit)


def has_limit(check: Check, settings: MonitorSettings) -> bool:
    """Return False for a check of volume or quality that the settings give no limit."""
    if check is Check.VOLUME:
        return settings.minimum_volume is not None or settings.volume_drop is not None
    fixed = _fixed(settings)
    if check not in fixed:
        return True
    return fixed[check] is not None or (check is not Check.CALIBRATION and settings.quality_drop is not None)


_HIGHER_IS_BETTER: Final = frozenset({Check.ACCURACY, Check.AUC})


def _measures(quality: Quality) -> Mapping[Check, _Measure]:
    return {
        Check.ACCURACY: _Measure(quality.accuracy, quality.accuracy_low, quality.accuracy_high),
        Check.AUC: _Measure(quality.auc, quality.auc_low, quality.auc_high),
        Check.RMSE: _Measure(quality.rmse, quality.rmse_low, quality.rmse_high),
        Check.LOG_LOSS: _Measure(quality.log_loss, quality.log_loss_low, quality.log_loss_high),
        Check.CALIBRATION: _Measure(quality.calibration_error, quality.calibration_error_low, quality.calibration_error_high),
    }


def _fixed(settings: MonitorSettings) -> Mapping[Check, float | None]:
    return {
        Check.ACCURACY: settings.minimum_accuracy,
        Check.AUC: settings.minimum_auc,
        Check.RMSE: settings.maximum_rmse,
        Check.LOG_LOSS: settings.maximum_log_loss,
        Check.CALIBRATION: settings.maximum_calibration_error,
    }


def _relative(check: Check, baseline: _Measure | None, settings: MonitorSettings) -> float | None:
    drop = settings.quality_drop
    if drop is None or baseline is None or baseline.low is None or baseline.high is None:
        return None
    match check:
        case Check.ACCURACY | Check.AUC:
            return baseline.low - drop
        case Check.RMSE | Check.LOG_LOSS:
            return baseline.high * (1.0 + drop)
        case _:
            # An error of calibration is zero at best: no share of it says anything.
            return None
