"""Quality of predictions from their true values: accuracy of classes, error of numbers."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import Any, Final, cast

Pair = tuple[Any, Any]
"""A row's prediction and its true value."""
Z_95: Final = NormalDist().inv_cdf(0.975)
"""Quantile of the normal distribution for intervals of 95 %."""


@dataclass(frozen=True, slots=True)
class Quality:
    """Quality of the rows whose true values are known."""

    rows: int
    accuracy: float | None = None
    """Share of equal ones. None for numbers that are no classes."""
    rmse: float | None = None
    """Root of the mean squared error, in the unit of the target. None for classes."""
    mae: float | None = None
    accuracy_low: float | None = None
    """Bounds of the interval of 95 % (Wilson's); those of the RMSE and the AUC likewise."""
    accuracy_high: float | None = None
    rmse_low: float | None = None
    rmse_high: float | None = None
    auc: float | None = None
    """Area under the ROC curve, of answers with probabilities of two classes; likewise the next ones."""
    auc_low: float | None = None
    auc_high: float | None = None
    log_loss: float | None = None
    calibration_error: float | None = None
    """Mean distance of a probability from the share of rows that it came true for."""
    log_loss_low: float | None = None
    log_loss_high: float | None = None
    calibration_error_low: float | None = None
    calibration_error_high: float | None = None


def pairs_of(answer: Any, truth: Any) -> list[Pair]:
    """Join an answer's rows with a request's true values. Returns none where their numbers differ."""
    predicted = predictions_of(answer)
    true = cast("list[Any]", truth) if isinstance(truth, list) else [truth]
    return list(zip(predicted, true, strict=True)) if len(predicted) == len(true) else []


def is_numeric(pairs: Iterable[Pair]) -> bool:
    """Return True for numbers that are no classes: some prediction or true value has a fraction."""
    return any(isinstance(value, float) and not value.is_integer() for pair in pairs for value in pair)


def quality_of(pairs: Sequence[Pair], *, numeric: bool) -> Quality:
    """Compare predictions with true values. Rows that cannot be compared are left out."""
    if not numeric:
        known = [pair for pair in pairs if pair[1] is not None]
        if not known:
            return Quality(0)
        accuracy = sum(is_equal(*pair) for pair in known) / len(known)
        low, high = _share_interval(accuracy, len(known))
        return Quality(len(known), accuracy=accuracy, accuracy_low=low, accuracy_high=high)
    errors = [float(predicted) - float(true) for predicted, true in pairs if _is_number(predicted) and _is_number(true)]
    if not errors:
        return Quality(0)
    mean_square, margin = mean_and_margin([error * error for error in errors])
    return Quality(
        len(errors),
        rmse=math.sqrt(mean_square),
        rmse_low=math.sqrt(max(0.0, mean_square - margin)),
        rmse_high=math.sqrt(mean_square + margin),
        mae=math.fsum(map(abs, errors)) / len(errors),
    )


def mean_and_margin(values: Sequence[float]) -> tuple[float, float]:
    """Return a mean, and half of its interval of 95 % (the normal distribution's)."""
    mean = math.fsum(values) / len(values)
    spread = math.fsum((value - mean) ** 2 for value in values) / max(len(values) - 1, 1)
    return mean, Z_95 * math.sqrt(spread / len(values))


def _share_interval(share: float, rows: int) -> tuple[float, float]:
    """Return Wilson's interval of a share."""
    scale = 1 + Z_95 * Z_95 / rows
    middle = (share + Z_95 * Z_95 / (2 * rows)) / scale
    margin = Z_95 / scale * math.sqrt(share * (1 - share) / rows + Z_95 * Z_95 / (4 * rows * rows))
    return max(0.0, middle - margin), min(1.0, middle + margin)


def is_equal(predicted: Any, true: Any) -> bool:
    """Compare a prediction with a true value."""
    # JSON of one protocol says 1 and of another "1".
    return predicted == true or str(predicted) == str(true)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def predictions_of(answer: Any) -> list[Any]:
    """Return the predictions of an answer of any protocol; none of another body."""
    found: Any = None
    match answer:
        case {"predictions": found}:
            pass
        case {"outputs": [{"data": found}, *_]}:
            pass
        case _:
            return []
    return cast("list[Any]", found) if isinstance(found, list) else []
