"""A model's arithmetic without the library's ceremony around it.

scikit-learn spends 100 microseconds of checks on 3 of a logistic regression, and 5 milliseconds of joblib on half a millisecond
of trees. A fast path does only the arithmetic, with the same operations in the same order, so that every bit of the answer is
the library's. ``serve_apps.model_server.loading.fast_path_check`` proves it for each model, when the model is loaded.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

FLOAT32_MAX: Final = float(np.finfo(np.float32).max)


@dataclass(frozen=True, slots=True)
class FastPath:
    """Steps from an array of rows (float64, float32 or int64) to what the library's own methods answer."""

    prepare: Callable[[NDArray[Any]], NDArray[Any] | None]
    """What ``scores`` takes; None where rows are the library's business: values it refuses, or treats in ways of its own."""
    scores: Callable[[NDArray[Any]], NDArray[Any]]
    """What predictions and probabilities are both made of. Neither of the two changes it."""
    predictions: Callable[[NDArray[Any]], NDArray[Any]]
    probabilities: Callable[[NDArray[Any]], NDArray[Any]] | None = None
    landmarks: Sequence[tuple[int, float]] = field(default=())
    """Values at which the answer may turn, as (feature, value): the check at load looks there."""
    multiplies: bool = False
    """Whether it multiplies matrices: then the order of the rows' numbers in memory may show in the last bit."""


def all_finite(rows: NDArray[Any]) -> NDArray[Any] | None:
    """``prepare`` of models that take every finite number.

    A sum of finite numbers may overflow: then the library looks once more, and answers.
    """
    return rows if math.isfinite(rows.sum()) else None


def all_in_float32(rows: NDArray[Any]) -> NDArray[Any] | None:
    """``prepare`` of models that read their inputs as float32, and refuse what has no place in it, NaN too."""
    # A comparison with NaN is false.
    if not (rows.max() <= FLOAT32_MAX and rows.min() >= -FLOAT32_MAX):
        return None
    return np.ascontiguousarray(rows, dtype=np.float32)


def not_infinite(rows: NDArray[Any]) -> NDArray[Any] | None:
    """``prepare`` of models for which NaN is a missing value."""
    return None if np.isinf(rows).any() else rows
