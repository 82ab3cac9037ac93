"""Compares the sketch of a window with the reference: drift, and shares of missing, unseen and outlying values."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from scipy import special
from scipy.spatial.distance import jensenshannon

from raylift.domain.monitoring.hysteresis import breaches
from raylift.domain.monitoring.monitor import Figures, MonitorSettings
from raylift.domain.monitoring.reference import (
    ANSWERS,
    ColumnKind,
    Reference,
    ReferenceColumn,
    prefix_of,
    segments_of,
    sketched_name,
)

FIRST_WINDOWS: Final = 5
"""The first rows, this many times ``minimum_rows``, are what later answers and segments are compared with."""
FALSE_ALARMS: Final = 0.001
"""Chance that any feature of one window without drift is beyond what chance explains, the threshold aside."""
_SMOOTHING: Final = 0.5
"""Added to each bin: the index of an empty one would be infinite."""


@dataclass(frozen=True, slots=True)
class Comparison:
    figures: Sequence[Figures]
    first: Mapping[str, float]
    """Counters of the first rows, with this window's where there were too few."""


def grown(now: Mapping[str, float], before: Mapping[str, float]) -> dict[str, float]:
    """Return how counters grew. One that shrank began again at zero."""
    found = {name: count - before.get(name, 0.0) if count >= before.get(name, 0.0) else count for name, count in now.items()}
    return {name: count for name, count in found.items() if count > 0}


def compare(
    reference: Reference, counts: Mapping[str, float], first: Mapping[str, float], settings: MonitorSettings
) -> Comparison:
    """Compare the counters of a window.

    All rows are compared with the reference. A segment's rows are compared with its first rows, and answers with the first
    answers: the training knows of these only what the target was.

    Args:
        reference: Of the version.
        counts: Growth of the sketch's counters in the window.
        first: Counters of the first rows.
        settings: Of the monitor.
    """
    segments = ("", *segments_of(reference, settings.segment_column))
    tests = len(segments) * (len(reference.columns) + 1)
    after = dict(first)
    found: list[Figures] = []
    for segment in segments:
        sketched = counts.get(sketched_name(segment), 0.0)
        for part, column in _parts(reference, segment, settings.segment_column):
            prefix = prefix_of(segment, part)
            now = {name: counts.get(prefix + name, 0.0) for name in column.counters}
            # Free text has no counters but that of missing values.
            rows = _rows(now) if column.counts else sketched
            if segment or part == ANSWERS:
                before = _Before.of_counters({name: first.get(prefix + name, 0.0) for name in now})
                if before.rows < FIRST_WINDOWS * settings.minimum_rows:
                    after |= {prefix + name: after.get(prefix + name, 0.0) + count for name, count in now.items()}
                    before = None
            else:
                before = _Before.of_reference(column)
            if before is not None and rows >= settings.minimum_rows:
                found.append(_figures(column, before, now, rows, segment or None, settings, tests, is_answer=part == ANSWERS))
    judged = [replace(each, breaches=breaches(each, settings)) for each in found]
    return Comparison(sorted(judged, key=_order), after)


def _parts(reference: Reference, segment: str, segment_column: str | None) -> Iterator[tuple[str, ReferenceColumn]]:
    for place, column in enumerate(reference.columns):
        # All values of the segment's column are the same. A column without counts is compared as a whole only.
        if not segment or (column.name != segment_column and column.counts):
            yield str(place), column
    if reference.answers is not None:
        yield ANSWERS, reference.answers


@dataclass(frozen=True, slots=True)
class _Before:
    """Counts that a window is compared with."""

    bins: NDArray[np.float64]
    rows: float
    missing: float
    """Share of the rows."""

    @classmethod
    def of_reference(cls, column: ReferenceColumn) -> _Before:
        bins = [*column.counts, *([0] if column.kind is ColumnKind.CATEGORY else [])]
        return cls(np.array(bins, dtype=float), column.rows, column.missing / max(column.rows, 1))

    @classmethod
    def of_counters(cls, counters: Mapping[str, float]) -> _Before:
        rows = _rows(counters)
        return cls(_bins(counters), rows, counters["missing"] / max(rows, 1.0))


def _bins(counters: Mapping[str, float]) -> NDArray[np.float64]:
    bins = [count for name, count in counters.items() if name.startswith("bin.")]
    # A value that is no number belongs to no bin; an unseen category is a bin of its own.
    return np.array(bins if "below" in counters else [*bins, counters.get("unseen", 0.0)], dtype=float)


def _rows(counters: Mapping[str, float]) -> float:
    return sum(count for name, count in counters.items() if name not in ("below", "above"))


def _figures(
    column: ReferenceColumn,
    before: _Before,
    counters: Mapping[str, float],
    rows: float,
    segment: str | None,
    settings: MonitorSettings,
    tests: int,
    *,
    is_answer: bool,
) -> Figures:
    bins = _bins(counters)
    drift: dict[str, Any] = dict.fromkeys(("psi", "psi_limit", "jensen_shannon", "ks", "ks_p", "chi_square_p"))
    if column.counts and before.bins.sum() and bins.sum():
        has_order = column.kind is ColumnKind.NUMBER
        drift = _drift(before.bins, bins, settings.drift_threshold, tests, has_order=has_order)
    return Figures(
        feature=column.name,
        is_answer=is_answer,
        segment=segment,
        rows=int(rows),
        missing=counters["missing"] / rows,
        missing_before=before.missing,
        unseen=counters.get("unseen", 0.0) / rows,
        outside=(counters.get("below", 0.0) + counters.get("above", 0.0)) / rows,
        **drift,
    )


def _drift(
    before: NDArray[np.float64], now: NDArray[np.float64], threshold: float, tests: int, *, has_order: bool
) -> dict[str, float | None]:
    expected, observed = _shares(before), _shares(now)
    psi = float(np.sum(special.rel_entr(expected, observed) + special.rel_entr(observed, expected)))
    used = (before + now) > 0
    freedom = max(int(used.sum()) - 1, 1)
    # Without drift the index is distributed as chi-square, times this.
    scale = 1.0 / before.sum() + 1.0 / now.sum()
    chance = float(special.chdtri(freedom, FALSE_ALARMS / tests)) * scale
    ks = float(np.max(np.abs(np.cumsum(before) / before.sum() - np.cumsum(now) / now.sum())))
    return {
        "psi": psi,
        "psi_limit": threshold + chance,
        "jensen_shannon": float(jensenshannon(expected, observed, base=2)),
        "ks": ks if has_order else None,
        "ks_p": float(special.kolmogorov(ks / math.sqrt(scale))) if has_order else None,
        "chi_square_p": _chi_square(before[used], now[used], freedom),
    }


def _shares(bins: NDArray[np.float64]) -> NDArray[np.float64]:
    return (bins + _SMOOTHING) / (bins.sum() + _SMOOTHING * len(bins))


def _chi_square(before: NDArray[np.float64], now: NDArray[np.float64], freedom: int) -> float:
    """Return the p-value of the test that two histograms come from one distribution."""
    ratio = math.sqrt(before.sum() / now.sum())
    statistic = float(np.sum((now * ratio - before / ratio) ** 2 / (before + now)))
    return float(special.chdtrc(freedom, statistic))


def _order(figures: Figures) -> tuple[bool, bool, float]:
    return not figures.is_answer, figures.segment is not None, -(figures.psi or 0.0)
