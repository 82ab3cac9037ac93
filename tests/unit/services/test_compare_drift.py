"""Statistics of drift are SciPy's on the same data."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import stats
from scipy.spatial.distance import jensenshannon

from raylift.domain.monitoring.monitor import Figures, MonitorSettings
from raylift.domain.monitoring.reference import SEEN, ColumnKind, Reference, ReferenceColumn, prefix_of, sketched_name
from raylift.services.monitoring.compare import compare

EDGES = (-1.0, -0.5, 0.0, 0.5, 1.0)
SETTINGS = MonitorSettings(minimum_rows=20)


def histogram(values: NDArray[np.float64]) -> NDArray[np.int64]:
    return np.bincount(np.searchsorted(EDGES, values), minlength=len(EDGES) + 1)


def figures_of(before: NDArray[np.int64], now: NDArray[np.int64]) -> Figures:
    column = ReferenceColumn("x", ColumnKind.NUMBER, int(before.sum()), 0, tuple(before.tolist()), EDGES, -9.0, 9.0)
    counts = {prefix_of("", "0") + f"bin.{place}": float(count) for place, count in enumerate(now)}
    rows = float(now.sum())
    (found,) = compare(
        Reference(int(before.sum()), (column,)), counts | {SEEN: rows, sketched_name(""): rows}, {}, SETTINGS
    ).figures
    return found


def binned(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return each value as the middle of its bin, which is all that a histogram knows."""
    return np.searchsorted(EDGES, values).astype(float)


@pytest.fixture
def drawn() -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    random = np.random.default_rng(5)
    return random.normal(size=1000), random.normal(0.3, 1.1, size=400)


def test_kolmogorov_smirnov_is_scipys(drawn: tuple[NDArray[np.float64], NDArray[np.float64]]) -> None:
    before, now = drawn
    found = figures_of(histogram(before), histogram(now))
    expected: Any = stats.ks_2samp(binned(before), binned(now), method="asymp")
    assert found.ks == pytest.approx(expected.statistic, rel=1e-12)
    # SciPy takes the effective number of rows as a whole one.
    assert found.ks_p == pytest.approx(stats.kstwobign.sf(expected.statistic * np.sqrt(1000 * 400 / 1400)), rel=1e-9)


def test_chi_square_is_scipys(drawn: tuple[NDArray[np.float64], NDArray[np.float64]]) -> None:
    before, now = map(histogram, drawn)
    expected: Any = stats.chi2_contingency(np.array([before, now]), correction=False)
    assert figures_of(before, now).chi_square_p == pytest.approx(expected.pvalue, rel=1e-9)


def test_jensen_shannon_and_stability_index_are_scipys(drawn: tuple[NDArray[np.float64], NDArray[np.float64]]) -> None:
    before, now = map(histogram, drawn)
    # Half a row in each bin: an empty one has an infinite index.
    expected, observed = ((counts + 0.5) / (counts.sum() + 3.0) for counts in (before, now))
    found = figures_of(before, now)
    assert found.jensen_shannon == pytest.approx(jensenshannon(expected, observed, base=2), rel=1e-12)
    index = stats.entropy(expected, observed) + stats.entropy(observed, expected)
    assert found.psi == pytest.approx(index, rel=1e-9)


def test_limit_of_the_index_is_the_quantile_of_chance() -> None:
    random = np.random.default_rng(6)
    before = histogram(random.normal(size=1000))
    found = [figures_of(before, histogram(random.normal(size=400))) for _ in range(300)]
    chance = stats.chi2.isf(0.001, len(EDGES)) * (1 / 1000 + 1 / 400)
    # The answers are one more comparison.
    assert found[0].psi_limit == pytest.approx(SETTINGS.drift_threshold + stats.chi2.isf(0.0005, 5) * (1 / 1000 + 1 / 400))
    assert sum((each.psi or 0) > chance for each in found) <= 3
