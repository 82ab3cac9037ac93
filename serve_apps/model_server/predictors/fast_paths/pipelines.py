"""scikit-learn's pipelines of scalers and imputers before a model with a fast path."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.impute import SimpleImputer
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import MaxAbsScaler, MinMaxScaler, RobustScaler, StandardScaler

from serve_apps.model_server.inputs.column_reader import Step
from serve_apps.model_server.predictors.fast_paths.fast_path import FastPath


def pipeline_path(model: Any, path_of: Callable[[Any], FastPath | None]) -> FastPath | None:
    """Path of a pipeline; None if a step has none. ``path_of`` finds the path of the last step."""
    if type(model) is not Pipeline or not model.steps:
        return None
    last = path_of(model.steps[-1][1])
    return None if last is None else after_steps([estimator for _, estimator in model.steps[:-1]], last)


def after_steps(estimators: Sequence[Any], last: FastPath) -> FastPath | None:
    """``last`` after some scalers and imputers; None if one of them is anything else."""
    steps = steps_of(estimators)
    if not steps:
        return None if steps is None else last
    # The landmarks are scaled values, which differ from the inputs.
    return replace(last, prepare=_Steps(steps, last), landmarks=())


def steps_of(estimators: Sequence[Any]) -> list[Step] | None:
    """Operations of fitted scalers, imputers and pipelines of them on float64; None if one is anything else."""
    steps: list[Step] = []
    for estimator in estimators:
        if estimator is None or isinstance(estimator, str):  # "passthrough"
            continue
        if type(estimator) is Pipeline:
            inner = steps_of([step for _, step in estimator.steps])
        else:
            step = _step(estimator)
            inner = None if step is None else [step]
        if inner is None:
            return None
        steps += inner
    return steps


class _Steps:
    def __init__(self, steps: Sequence[Step], last: FastPath) -> None:
        self.steps = steps
        self.prepare_last = last.prepare

    def __call__(self, rows: NDArray[Any]) -> NDArray[Any] | None:
        # The library predicts for float32, which scalers keep, and for infinity, which they refuse.
        if rows.dtype == np.float32 or np.isinf(rows).any():
            return None
        rows = rows.astype(np.float64)  # a copy: the steps change it
        for step in self.steps:
            step(rows)
        return self.prepare_last(rows)


def _step(estimator: Any) -> Step | None:
    if type(estimator) is StandardScaler:
        return _Centered(estimator.mean_ if estimator.with_mean else None, estimator.scale_ if estimator.with_std else None)
    if type(estimator) is MinMaxScaler:
        return _MinMax(estimator)
    if type(estimator) is RobustScaler:
        return _Centered(estimator.center_, estimator.scale_)
    if type(estimator) is MaxAbsScaler and not getattr(estimator, "clip", False):
        return _Centered(None, estimator.scale_)
    if type(estimator) is SimpleImputer and _is_plain(estimator):
        return _Imputer(estimator)
    return None


class _Centered:
    def __init__(self, center: Any, scale: Any) -> None:
        self.center, self.scale = center, scale

    def __call__(self, rows: NDArray[Any]) -> None:
        if self.center is not None:
            rows -= self.center
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
        self.statistics = np.asarray(imputer.statistics_, dtype=np.float64)

    def __call__(self, rows: NDArray[Any]) -> None:
        missing = np.isnan(rows)
        if missing.any():
            rows[missing] = np.broadcast_to(self.statistics, rows.shape)[missing]


def _is_plain(imputer: Any) -> bool:
    """Tell whether an imputer only fills missing numbers, without dropping or adding columns."""
    missing = imputer.missing_values
    if imputer.add_indicator or not (isinstance(missing, float) and np.isnan(missing)):
        return False
    try:
        # The most frequent values are objects if columns of several types were seen.
        return not np.isnan(np.asarray(imputer.statistics_, dtype=np.float64)).any()
    except (TypeError, ValueError):  # text
        return False
