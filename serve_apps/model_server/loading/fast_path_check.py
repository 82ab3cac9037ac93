"""Enables the accelerations of a loaded model whose predictions equal the library's in every bit.

There are two: the fast path of its family (predictors/fast_paths/fast_path.py), and batches of several requests. A batch
changes nothing for a tree, and the last bit of a matrix product.
"""

from __future__ import annotations

import logging
import time
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any, Final, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from serve_apps.model_server.inputs.fast_reader import ArrayReader, array_reader_of
from serve_apps.model_server.loading.column_check import difference, records_for
from serve_apps.model_server.loading.column_tables import column_reader_of
from serve_apps.model_server.model import Model
from serve_apps.model_server.predictors.base import Predictor
from serve_apps.model_server.predictors.fast_paths.column_stages import ColumnStages, stages_of_numbers
from serve_apps.model_server.predictors.fast_paths.fast_path import FastPath, unchanged

_log = logging.getLogger(__name__)

_MANY: Final = 128
"""Rows of a large group: more than the largest batch, and more than the size at which a forest changes its method."""
_SIZES: Final = (1, 2, 3, 4, 5, 7, 8, 9, 15, 16, 17, 31, 32, 33, 50, 51, 64, 100)
_SINGLE: Final = 8
_SECONDS: Final = 0.1
"""Time limit of the library's predictions for the smaller groups; the first few are always made."""
_GROUP: Final = 16
_GROUPS: Final = (2, 5, _GROUP, 64)
"""Sizes of the batches that are checked."""
_GAIN: Final = 0.6
"""Rows are grouped if one in a group takes less than this part of its time alone."""


@runtime_checkable
class HasFastPath(Protocol):
    def fast_path(self) -> FastPath | None: ...


@runtime_checkable
class HasColumnStages(Protocol):
    def column_stages(self) -> ColumnStages | None: ...


def accelerated(model: Model) -> Model:
    """The model with the accelerations that change no bit of its predictions. Rejected ones are logged."""
    if model.is_function:
        return model
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")  # about extreme numbers
        reader = array_reader_of(model.schema, model.predictor.features)
        by_column = _with_column_path(model, has_one_type=reader is not None)
        if by_column is not None or reader is None:
            return by_column or model
        model = _with_fast_path(replace(model, reader=reader), reader)
        nothing = FastPath(unchanged, unchanged, unchanged)
        rows = _rows(reader.width, reader.dtype, model.fast or nothing)
        return replace(model, is_groupable=_is_groupable(model, [row[np.newaxis] for row in rows]))


def _with_column_path(model: Model, *, has_one_type: bool) -> Model | None:
    """The model with a fast path of several column types; None if it has none that equals the library."""
    predictor = model.predictor
    try:
        stages = predictor.column_stages() if isinstance(predictor, HasColumnStages) else None
        if stages is None and not has_one_type:
            stages = _stages_of_numbers(predictor)
        reader = None if stages is None else column_reader_of(model.schema, stages)
        if stages is None or reader is None or (stages.path.probabilities is None) != (model.classes is None):
            return None
        # The reader has prepared the rows already.
        candidate = replace(model, reader=reader, fast=replace(stages.path, prepare=unchanged))
        found = difference(candidate, reader, stages.path)
        if found is None:
            rows = [reader.read([record]) for record in records_for(reader, stages.path)]
            return replace(candidate, is_groupable=_is_groupable(candidate, [row for row in rows if row is not None]))
        _log.warning("%s version %s is served by its library's own predict: %s", model.name, model.version, found)
    except Exception as error:  # noqa: BLE001 - a failing acceleration is not used
        _log.warning("%s version %s is served by its library's own predict: %r", model.name, model.version, error)
    return None


def _stages_of_numbers(predictor: Predictor) -> ColumnStages | None:
    """Stages of a model that takes frames and has a fast path from arrays."""
    names = predictor.features.names
    path = predictor.fast_path() if isinstance(predictor, HasFastPath) and names is not None else None
    return None if path is None or names is None else stages_of_numbers(names, path)


def _with_fast_path(model: Model, reader: ArrayReader) -> Model:
    predictor = model.predictor
    path: FastPath | None = None
    try:
        path = predictor.fast_path() if isinstance(predictor, HasFastPath) else None
        if path is not None and (path.probabilities is not None) == (model.classes is not None):
            candidate = replace(model, fast=path)
            difference = _difference(candidate, reader, path)
            if difference is None:
                return candidate
            _log.warning("%s version %s is served by its library's own predict: %s", model.name, model.version, difference)
    except Exception as error:  # noqa: BLE001 - a failing acceleration is not used
        _log.warning("%s version %s is served by its library's own predict: %r", model.name, model.version, error)
    return model


def _difference(model: Model, reader: ArrayReader, path: FastPath) -> str | None:
    """Describe the first difference between the fast path and the library; None if there is none."""
    library = replace(model, fast=None)
    deadline = time.monotonic() + _SECONDS
    compared = 0
    for index, rows in enumerate(_groups(reader.width, reader.dtype, path)):
        if index > _SINGLE and time.monotonic() > deadline:
            break
        if path.prepare(rows) is None:
            continue
        if not model.compute(rows).equals(library.compute(rows)):
            return f"the fast path differs on {len(rows)} rows of {reader.dtype}"
        compared += 1
    return None if compared else "the fast path accepts none of the generated rows"


def _groups(width: int, dtype: np.dtype[Any], path: FastPath) -> Iterator[NDArray[Any]]:
    """Groups of rows of several sizes, the most revealing first."""
    many = _rows(width, dtype, path)
    edges = _edges(width, dtype, path)
    yield many
    yield edges
    yield many[:1]
    yield many[1:4]
    for index in range(_SINGLE):
        yield many[index : index + 1] if index % 2 else edges[index % len(edges)][None, :]
    for start, size in enumerate(_SIZES):
        yield many[start : start + size]
    for row in edges:
        yield row[None, :]


def _rows(width: int, dtype: np.dtype[Any], path: FastPath) -> NDArray[Any]:
    """Common rows: around zero, on several scales, some values exactly at the model's thresholds."""
    random = np.random.default_rng(0)
    if dtype.kind == "i":
        return random.integers(-100, 100, (_MANY, width)).astype(dtype)
    rows = random.standard_normal((_MANY, width)) * random.choice([0.01, 1.0, 1.0, 100.0], (_MANY, 1))
    rows[::5] = np.round(rows[::5])
    for index, (feature, value) in enumerate(path.landmarks):
        row = index % _MANY
        rows[row, feature] = (value, np.nextafter(value, np.inf), np.nextafter(value, -np.inf))[index // _MANY % 3]
    with np.errstate(over="ignore"):
        return rows.astype(dtype)


def _edges(width: int, dtype: np.dtype[Any], path: FastPath) -> NDArray[Any]:
    """Rows of extreme numbers, without those that the fast path leaves to the library."""
    if dtype.kind == "i":
        values: Sequence[Any] = (0, 1, -1, 2**24 + 1, 2**31, -(2**31), 2**53 - 1)
    else:
        values = (0.0, -0.0, 1.0, 5e-324, -1e-310, 1e-40, 1e-300, 1e30, -1e38, 3.4028235e38, 2.0**24 + 1, np.pi, np.nan)
    random = np.random.default_rng(1)
    rows = [np.full(width, value) for value in values]
    rows += [random.choice(np.asarray(values), width) for _ in range(2 * len(values))]
    accepted = [row for row in np.asarray(rows).astype(dtype) if path.prepare(row[None, :]) is not None]
    return np.stack(accepted) if accepted else np.zeros((1, width), dtype=dtype)


def _is_groupable(model: Model, singles: Sequence[NDArray[Any]]) -> bool:
    """Tell whether batches keep every bit and save time."""
    if model.fast is not None and model.fast.multiplies:
        # The order of a matrix product depends on its shape. Labels hide the difference until a score is close to a threshold.
        return False
    singles = singles[:_GROUP]
    rows = np.concatenate(singles)
    try:
        alone = [model.compute(row) for row in singles]
        for size in _GROUPS:
            together = model.compute(np.resize(rows, (size, rows.shape[1])))
            if not (_has_row_each(together.predictions, size) and _has_row_each(together.probabilities, size)):
                return False
            if not all(together.part(index, index + 1).equals(alone[index % len(alone)]) for index in range(size)):
                _log.info("%s version %s: requests are not grouped, it would change their last bits", model.name, model.version)
                return False
        return _seconds(model, rows) / len(rows) < _GAIN * _seconds(model, rows[:1])
    except Exception as error:  # noqa: BLE001 - a model that fails on generated rows is not grouped
        _log.info("%s version %s: requests are not grouped: %r", model.name, model.version, error)
        return False


def _seconds(model: Model, rows: NDArray[Any]) -> float:
    def once() -> float:
        started = time.perf_counter()
        model.compute(rows)
        return time.perf_counter() - started

    return min(once() for _ in range(3))


def _has_row_each(answer: Any, rows: int) -> bool:
    return answer is None or (isinstance(answer, np.ndarray) and answer.ndim > 0 and len(answer) == rows)
