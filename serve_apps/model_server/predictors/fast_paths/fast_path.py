"""A model's arithmetic without the library's overhead.

scikit-learn checks inputs for 100 µs before 3 µs of a logistic regression, and runs 5 ms of joblib for 0.5 ms of trees. A fast
path does only the arithmetic, with the same operations in the same order, so that every bit equals the library's. It is checked
for each model at load (loading/fast_path_check.py).
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
    """Steps from an array of rows (float64, float32 or int64) to the library's predictions and probabilities."""

    prepare: Callable[[NDArray[Any]], NDArray[Any] | None]
    """Converts rows to the input of ``scores``. None: the library must predict, since it refuses the values or treats them
    specially."""
    scores: Callable[[NDArray[Any]], NDArray[Any]]
    """Computes the scores that predictions and probabilities are made of. Neither changes them."""
    predictions: Callable[[NDArray[Any]], NDArray[Any]]
    probabilities: Callable[[NDArray[Any]], NDArray[Any]] | None = None
    landmarks: Sequence[tuple[int, float]] = field(default=())
    """Thresholds of the model as (feature, value). The check at load tries rows there."""
    multiplies: bool = False
    """True if it multiplies matrices: the order of the rows in memory may change the last bit."""


def all_finite(rows: NDArray[Any]) -> NDArray[Any] | None:
    """``prepare`` of models that take every finite number.

    A sum of finite numbers may overflow: then the library predicts.
    """
    return rows if math.isfinite(rows.sum()) else None


def all_in_float32(rows: NDArray[Any]) -> NDArray[Any] | None:
    """``prepare`` of models that read inputs as float32 and refuse NaN and numbers beyond it."""
    # A comparison with NaN is false.
    if not (rows.max() <= FLOAT32_MAX and rows.min() >= -FLOAT32_MAX):
        return None
    return np.ascontiguousarray(rows, dtype=np.float32)


def not_infinite(rows: NDArray[Any]) -> NDArray[Any] | None:
    """``prepare`` of models for which NaN is a missing value."""
    return None if np.isinf(rows).any() else rows


def unchanged(values: NDArray[Any]) -> NDArray[Any]:
    """A step that does nothing."""
    return values


def both_classes(scores: NDArray[Any]) -> NDArray[Any]:
    """Probabilities of both classes from those of the second; scores of several classes stay unchanged."""
    return scores if scores.ndim == 2 else np.column_stack((1.0 - scores, scores))


class Labels:
    """``predictions`` of a classifier: ``indices`` finds the place of each row's class."""

    def __init__(self, classes: NDArray[Any], indices: Callable[[NDArray[Any]], NDArray[Any]]) -> None:
        self.classes, self.indices = classes, indices

    def __call__(self, scores: NDArray[Any]) -> NDArray[Any]:
        return self.classes.take(self.indices(scores), axis=0)
