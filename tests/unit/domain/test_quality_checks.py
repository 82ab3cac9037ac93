"""Limits of volume and quality: what raises an alert, what ends one, and what says nothing."""

from __future__ import annotations

from dataclasses import replace

import pytest

from raylift.domain.models.quality import Quality, quality_of
from raylift.domain.monitoring.monitor import Check, MonitorSettings
from raylift.domain.monitoring.quality_checks import quality_findings, volume_finding

SETTINGS = MonitorSettings()


def accuracy(right: int, wrong: int) -> Quality:
    return quality_of([(1, 1)] * right + [(0, 1)] * wrong, numeric=False)


def told(quality: Quality, baseline: Quality | None, settings: MonitorSettings = SETTINGS) -> dict[Check, tuple[bool, bool]]:
    found = quality_findings(quality, None, baseline, settings)
    return {each.check: (each.raises, each.ends) for each in found}


@pytest.mark.parametrize(
    ("right", "wrong", "raises", "ends"),
    [
        (900, 100, False, True),  # as the baseline
        (840, 160, False, True),  # within the drop
        (800, 200, True, False),
        (9, 3, False, False),  # far below, but of so few rows that chance explains it
    ],
)
def test_accuracy_is_compared_with_its_baseline(right: int, wrong: int, raises: bool, ends: bool) -> None:
    baseline = accuracy(900, 100)
    assert told(accuracy(right, wrong), baseline) == {Check.ACCURACY: (raises, ends)}


def test_without_baseline_and_limits_nothing_is_compared() -> None:
    assert told(accuracy(1, 99), None) == {}
    assert told(accuracy(1, 99), accuracy(99, 1), replace(SETTINGS, quality_drop=None)) == {}


def test_stricter_of_limit_and_baseline_counts() -> None:
    settings = replace(SETTINGS, minimum_accuracy=0.95)
    (found,) = quality_findings(accuracy(900, 100), None, accuracy(900, 100), settings)
    assert (found.limit, found.raises) == (0.95, True)


def test_errors_are_compared_by_their_share() -> None:
    baseline = Quality(100, rmse=10.0, rmse_low=9.0, rmse_high=11.0, log_loss=1.0, log_loss_low=0.9, log_loss_high=1.1)
    now = Quality(100, rmse=13.0, rmse_low=11.8, rmse_high=14.0, log_loss=1.1, log_loss_low=1.0, log_loss_high=1.2)
    assert told(now, baseline) == {Check.RMSE: (True, False), Check.LOG_LOSS: (False, True)}


def test_calibration_has_a_limit_and_no_baseline() -> None:
    now = Quality(100, calibration_error=0.2, calibration_error_low=0.16, calibration_error_high=0.25)
    assert told(now, now) == {}
    assert told(now, now, replace(SETTINGS, maximum_calibration_error=0.15)) == {Check.CALIBRATION: (True, False)}


def test_volume_is_compared_with_the_larger_expectation() -> None:
    assert volume_finding(0, 1000.0, SETTINGS) is None
    settings = replace(SETTINGS, minimum_volume=1, volume_drop=0.5)
    silence = volume_finding(0, None, settings)
    assert silence is not None
    assert (silence.limit, silence.raises, silence.ends) == (1.0, True, False)
    fewer = volume_finding(499, 1000.0, settings)
    assert fewer is not None
    assert (fewer.limit, fewer.raises) == (500.0, True)
    enough = volume_finding(500, 1000.0, settings)
    assert enough is not None
    assert (enough.raises, enough.ends) == (False, True)
