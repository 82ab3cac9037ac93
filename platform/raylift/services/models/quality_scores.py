"""Quality of the probabilities that a classifier of two classes answered: AUC, log loss and calibration."""

from __future__ import annotations

import math
import sys
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Final, cast

import numpy as np

from raylift.domain.models.quality import Z_95, Quality, is_equal, mean_and_margin

Scored = tuple[float, bool]
"""The probability of a row's second class, and whether that was the true one."""

_BINS: Final = 10
_RESAMPLES: Final = 200
_LEAST_OF_A_CLASS: Final = 10
"""Rows of each class that an interval of the AUC needs: with fewer, the normal approximation is far too narrow."""


def scored_of(answer: Any, truth: Any) -> list[Scored | None]:
    """Join an answer's probabilities with a request's true values; none of an answer without those of two classes.

    A row without a true value is None.
    """
    rows: Any = None
    second: Any = None
    match answer:
        case {"probabilities": rows, "classes": [_, second]}:
            pass
        case _:
            return []
    true = cast("list[Any]", truth) if isinstance(truth, list) else [truth]
    scores = cast("list[Any]", rows) if isinstance(rows, list) else []
    if len(scores) != len(true) or not all(map(_is_pair, scores)):
        return []
    pairs = zip(scores, true, strict=True)
    return [None if value is None else (float(row[1]), is_equal(second, value)) for row, value in pairs]


def with_scores(quality: Quality, scored: Sequence[Scored]) -> Quality:
    """Add what the probabilities say. They say nothing before both classes came."""
    positives = sum(is_second for _, is_second in scored)
    if not 0 < positives < len(scored):
        return quality
    # Imported at the first use: it takes a second, and most gateways never need it.
    from sklearn import metrics

    measures: Any = metrics

    scores = np.array([score for score, _ in scored])
    truth = np.array([is_second for _, is_second in scored])
    auc = float(measures.roc_auc_score(truth, scores))
    log_loss, loss_margin = mean_and_margin(_losses(truth, scores))
    calibration = _calibration_error(truth, scores)
    is_enough = min(positives, len(scored) - positives) >= _LEAST_OF_A_CLASS
    margin = Z_95 * _auc_error(auc, positives, len(scored) - positives) if is_enough else 1.0
    return replace(
        quality,
        auc=auc,
        auc_low=max(0.0, auc - margin),
        auc_high=min(1.0, auc + margin),
        log_loss=log_loss,
        log_loss_low=max(0.0, log_loss - loss_margin),
        log_loss_high=log_loss + loss_margin,
        calibration_error=calibration,
        **_calibration_interval(truth, scores),
    )


def _is_pair(row: Any) -> bool:
    return isinstance(row, list) and len(cast("list[Any]", row)) == 2


def _auc_error(auc: float, positives: int, negatives: int) -> float:
    """Return the standard error of an AUC (Hanley and McNeil, 1982)."""
    first, second = auc / (2 - auc), 2 * auc * auc / (1 + auc)
    spread = (positives - 1) * (first - auc * auc) + (negatives - 1) * (second - auc * auc)
    return math.sqrt(max(0.0, auc * (1 - auc) + spread) / (positives * negatives))


def _losses(truth: Any, scores: Any) -> list[float]:
    """Return the logarithmic loss of each row, with scikit-learn's bounds of probabilities."""
    least = sys.float_info.epsilon
    bounded = [min(max(score, least), 1 - least) for score in scores.tolist()]
    return [-math.log(score if is_second else 1 - score) for score, is_second in zip(bounded, truth.tolist(), strict=True)]


def _calibration_interval(truth: Any, scores: Any) -> dict[str, float]:
    """Return the bounds of the interval of 95 %, from rows that are drawn anew (percentiles)."""
    from scipy import stats

    library: Any = stats
    resampled = library.bootstrap(
        (truth, scores),
        _calibration_error,
        n_resamples=_RESAMPLES,
        paired=True,
        vectorized=False,
        method="percentile",
        rng=np.random.default_rng(0),
    )
    interval = resampled.confidence_interval
    return {"calibration_error_low": float(interval.low), "calibration_error_high": float(interval.high)}


def _calibration_error(truth: Any, scores: Any) -> float:
    """Return the mean distance of a probability from the share of rows that it came true for, by ten bins."""
    places = np.minimum((scores * _BINS).astype(int), _BINS - 1)
    bins = [places == place for place in range(_BINS)]
    return float(sum(abs(scores[chosen].sum() - truth[chosen].sum()) for chosen in bins)) / len(scores)
