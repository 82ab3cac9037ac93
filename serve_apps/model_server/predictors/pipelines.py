"""scikit-learn's pipelines of scalers and imputers before a model that has a fast path."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.impute import SimpleImputer
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import MinMaxScaler, StandardScaler

from serve_apps.model_server.predictors.fast_path import FastPath

Step = Callable[[NDArray[Any]], None]
"""Changes an array of float64 in place."""


def pipeline_path(model: Any, path_of: Callable[[Any], FastPath | None]) -> FastPath | None:
    """The path of a pipeline, None where one of its steps has none. ``path_of`` finds that of its last step."""
    if type(model) is not Pipeline or not model.steps:
        return None
    steps = [_step(estimator) for _, estimator in model.steps[:-1] if estimator not in (None, "passthrough")]
    if any(step is None for step in steps):
        return None
    last = path_of(model.steps[-1][1])
    # The landmarks are those of scaled values, which say nothing of what comes in.
    return None if last is None else replace(last, prepare=_Steps([step for step in steps if step], last), landmarks=())


class _Steps:
    def __init__(self, steps: Sequence[Step], last: FastPath) -> None:
        self.steps = steps
        self.prepare_last = last.prepare

    def __call__(self, rows: NDArray[Any]) -> NDArray[Any] | None:
        # Scalers compute float32 in float32: that is theirs. Infinity they refuse.
        if rows.dtype == np.float32 or np.isinf(rows).any():
            return None
        rows = rows.astype(np.float64)  # a copy: the steps change it
        for step in self.steps:
            step(rows)
        return self.prepare_last(rows)


def _step(estimator: Any) -> Step | None:
    if type(estimator) is StandardScaler:
        return _Standard(estimator)
    if type(estimator) is MinMaxScaler:
        return _MinMax(estimator)
    if type(estimator) is SimpleImputer and _is_plain(estimator):
        return _Imputer(estimator)
    return None


class _Standard:
    def __init__(self, scaler: Any) -> None:
        self.mean = scaler.mean_ if scaler.with_mean else None
        self.scale = scaler.scale_ if scaler.with_std else None

    def __call__(self, rows: NDArray[Any]) -> None:
        if self.mean is not None:
            rows -= self.mean
        if self.scale is not None:
            rows /= self.scale


class _MinMax:
    def __init__(self, scaler: Any) -> None:
        self.scale, self.minimum = scaler.scale_, scaler.min_
        self.bounds = scaler.feature_range if scaler.clip else None

    def __call__(self, rows: NDArray[Any]) -> None:
        rows *= self.scale
        rows += self.minimum
        if self.bounds is not None:
            np.clip(rows, *self.bounds, out=rows)


class _Imputer:
    def __init__(self, imputer: Any) -> None:
        self.statistics = imputer.statistics_

    def __call__(self, rows: NDArray[Any]) -> None:
        missing = np.isnan(rows)
        if missing.any():
            rows[missing] = np.broadcast_to(self.statistics, rows.shape)[missing]


def _is_plain(imputer: Any) -> bool:
    """Whether it only puts a number where one is missing: no column is dropped, none is added."""
    statistics = np.asarray(imputer.statistics_)
    is_numeric = statistics.dtype.kind == "f" and not np.isnan(statistics).any()
    missing = imputer.missing_values
    return is_numeric and not imputer.add_indicator and isinstance(missing, float) and np.isnan(missing)
