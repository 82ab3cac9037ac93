"""Splits models that begin with a ColumnTransformer: the operations on each column, and the fast path after them.

Numbers go through scalers and imputers, which are a few operations. Encoders of categories read few values: the library
transforms each of them once, at load (``loading/column_tables.py``).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from sklearn.compose import ColumnTransformer
from sklearn.impute import SimpleImputer
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import (
    FunctionTransformer,
    MaxAbsScaler,
    MinMaxScaler,
    OneHotEncoder,
    OrdinalEncoder,
    RobustScaler,
    StandardScaler,
    TargetEncoder,
)
from sklearn.utils import check_array

from serve_apps.model_server.inputs.column_reader import Step
from serve_apps.model_server.predictors.fast_paths.fast_path import FastPath
from serve_apps.model_server.predictors.fast_paths.pipelines import after_steps, steps_of

_ENCODERS: Final = (OneHotEncoder, OrdinalEncoder, TargetEncoder)
_SCALERS: Final = (StandardScaler, MinMaxScaler, RobustScaler, MaxAbsScaler)

PathOf = Callable[[Any], FastPath | None]


@dataclass(frozen=True, slots=True)
class NumberBlock:
    """Columns of numbers, and their place in a transformed row."""

    columns: tuple[str, ...]
    outputs: slice
    steps: Sequence[Step]


@dataclass(frozen=True, slots=True)
class ColumnStages:
    """Steps from a frame to transformed rows, and from these to predictions."""

    transform: Callable[[Any], Any]
    """The library's transformation of a frame to an array, which may be sparse."""
    numbers: Sequence[NumberBlock]
    encoded: Mapping[str, Sequence[Any]]
    """Columns that encoders read, with their known values: text, numbers, booleans."""
    path: FastPath


def column_stages_of(model: Any, path_of: PathOf) -> ColumnStages | None:
    """Stages of a model; None if a part is not understood. ``path_of`` finds the path of a model of arrays."""
    split = _behind_transformer(model, path_of)
    if split is None:
        return None
    transformer, path = split
    if type(transformer) is not ColumnTransformer or transformer.transformer_weights:
        return None
    if not hasattr(transformer, "feature_names_in_"):
        return None
    numbers: list[NumberBlock] = []
    encoded: dict[str, list[Any]] = {}
    for columns, chain, outputs in _chains(transformer):
        known = _categories(chain, columns)
        if known is not None:
            for column, values in known.items():
                encoded.setdefault(column, []).extend(values)
            continue
        steps = steps_of([estimator for estimator in chain if not _is_identity(estimator)])
        if steps is None or outputs.stop - outputs.start != len(columns):
            return None
        numbers.append(NumberBlock(columns, outputs, steps))
    return ColumnStages(transformer.transform, numbers, encoded, path)


def stages_of_numbers(names: Sequence[str], path: FastPath) -> ColumnStages:
    """Stages of a model that takes a frame of integers, booleans and floating point as one array."""
    block = NumberBlock(tuple(names), slice(0, len(names)), ())
    return ColumnStages(lambda frame: frame.to_numpy(), [block], {}, path)


def _behind_transformer(model: Any, path_of: PathOf) -> tuple[Any, FastPath] | None:
    """A model's ColumnTransformer, and the path of its other steps."""
    if type(model) is Pipeline:
        first, *between = [step for step in flattened(model) if step is not None and not isinstance(step, str)]
        last = path_of(between.pop()) if between and type(first) is ColumnTransformer else None
        path = None if last is None else after_steps(between, last)
        # For a sparse matrix scalers multiply by the inverse, which gives other bits than dividing.
        if path is not None and first.sparse_output_:
            path = None if between else _of_sparse(path)
        return None if path is None else (first, path)
    transformer = getattr(model, "_preprocessor", None)
    if transformer is None:
        return None
    from serve_apps.model_server.predictors.fast_paths.hist_gradient_boosting import encoded_path

    path = encoded_path(model)
    return None if path is None else (transformer, path)


def _of_sparse(path: FastPath) -> FastPath | None:
    if not path.multiplies:
        return path
    from serve_apps.model_server.predictors.fast_paths.linear import sequential

    return sequential(path)


def flattened(pipeline: Any) -> Iterator[Any]:
    """Steps of a pipeline and of the pipelines in it."""
    for _, estimator in pipeline.steps:
        if type(estimator) is Pipeline:
            yield from flattened(estimator)
        else:
            yield estimator


def _chains(transformer: Any) -> Iterator[tuple[tuple[str, ...], Sequence[Any], slice]]:
    """Columns, estimators and outputs of each part of a ColumnTransformer that has columns."""
    names = transformer.feature_names_in_
    for name, estimator, _ in transformer.transformers_:
        columns = tuple(str(column) for column in names[transformer._transformer_to_input_indices[name]])
        if not columns or (isinstance(estimator, str) and estimator == "drop"):
            continue
        chain = list(flattened(estimator)) if type(estimator) is Pipeline else [estimator]
        yield columns, chain, transformer.output_indices_[name]


def _categories(chain: Sequence[Any], columns: Sequence[str]) -> Mapping[str, Sequence[Any]] | None:
    """Known values of each column of a chain of estimators; None for a chain without an encoder.

    Each estimator must treat every column independently: a value's outputs then do not depend on other columns.
    """
    encoder = next((estimator for estimator in chain if type(estimator) in _ENCODERS), None)
    if encoder is None or any(type(estimator) not in (*_ENCODERS, *_SCALERS, SimpleImputer) for estimator in chain):
        return None
    if len(encoder.categories_) != len(columns):
        return None
    others = [estimator.missing_values for estimator in chain if type(estimator) is SimpleImputer]
    return {
        column: [value for value in [*_values(categories), *others] if _is_value(value)]
        for column, categories in zip(columns, encoder.categories_, strict=True)
    }


def _values(categories: NDArray[Any]) -> list[Any]:
    return np.asarray(categories, dtype=object).tolist()


def _is_value(value: Any) -> bool:
    """Tell whether a value exists in JSON and is not missing."""
    return type(value) in (str, int, bool) or (type(value) is float and np.isfinite(value))


def _is_identity(estimator: Any) -> bool:
    """Tell whether an estimator is "passthrough", or the check that histogram gradient boosting makes of its numbers."""
    if type(estimator) is not FunctionTransformer:
        return False
    function = estimator.func
    return function is None or (isinstance(function, partial) and function.func is check_array)
