"""Quality of predictions from their true values: accuracy of classes, error of numbers."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, cast

Pair = tuple[Any, Any]
"""A row's prediction and its true value."""


@dataclass(frozen=True, slots=True)
class Quality:
    """Quality of the rows whose true values are known."""

    rows: int
    accuracy: float | None = None
    """Share of equal ones. None for numbers that are no classes."""
    rmse: float | None = None
    """Root of the mean squared error, in the unit of the target. None for classes."""
    mae: float | None = None


def pairs_of(answer: Any, truth: Any) -> list[Pair]:
    """Join an answer's rows with a request's true values. Returns none where their numbers differ."""
    predicted = _rows(answer)
    true = cast("list[Any]", truth) if isinstance(truth, list) else [truth]
    return list(zip(predicted, true, strict=True)) if len(predicted) == len(true) else []


def is_numeric(pairs: Iterable[Pair]) -> bool:
    """Return True for numbers that are no classes: some prediction or true value has a fraction."""
    return any(isinstance(value, float) and not value.is_integer() for pair in pairs for value in pair)


def quality_of(pairs: Sequence[Pair], *, numeric: bool) -> Quality:
    """Compare predictions with true values. Rows that cannot be compared are left out."""
    if not numeric:
        known = [pair for pair in pairs if pair[1] is not None]
        return Quality(len(known), accuracy=sum(map(_equal, known)) / len(known) if known else None)
    errors = [float(predicted) - float(true) for predicted, true in pairs if _is_number(predicted) and _is_number(true)]
    if not errors:
        return Quality(0)
    mean_square = math.fsum(error * error for error in errors) / len(errors)
    return Quality(len(errors), rmse=math.sqrt(mean_square), mae=math.fsum(map(abs, errors)) / len(errors))


def _equal(pair: Pair) -> bool:
    predicted, true = pair
    # JSON of one protocol says 1 and of another "1".
    return predicted == true or str(predicted) == str(true)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _rows(answer: Any) -> list[Any]:
    """Return the predictions of an answer, of any protocol."""
    found: Any = None
    match answer:
        case {"predictions": found}:
            pass
        case {"outputs": [{"data": found}, *_]}:
            pass
        case _:
            return []
    return cast("list[Any]", found) if isinstance(found, list) else []
