"""Measures at load whether a model is quick enough to predict on the event loop."""

from __future__ import annotations

import logging
import statistics
import time
from typing import Final

import numpy as np
import pandas as pd

from serve_apps.model_server.errors import describe_error
from serve_apps.model_server.inputs.column_reader import ColumnReader
from serve_apps.model_server.inputs.column_type import NUMPY_DTYPES
from serve_apps.model_server.model import Model, PredictionRequest

_log = logging.getLogger(__name__)

_QUICK_SECONDS: Final = 0.002
_TRIALS: Final = 5


def is_quick(model: Model) -> bool:
    """Tell whether one row takes less time than handing it to a thread, measured on zeros.

    A Python function may have side effects. It is not tried and counts as slow.
    """
    request = _row_of_zeros(model)
    if request is None:
        return False
    try:
        return statistics.median(_seconds(model, request) for _ in range(_TRIALS)) < _QUICK_SECONDS
    except Exception as error:  # noqa: BLE001 - zeros need not be inputs that the model takes
        _log.info("%s version %s cannot be timed on zeros: %s", model.name, model.version, describe_error(error))
        return False


def _seconds(model: Model, request: PredictionRequest) -> float:
    started = time.perf_counter()
    model.predict_raw(request)
    return time.perf_counter() - started


def _row_of_zeros(model: Model) -> PredictionRequest | None:
    """A request of one row; None for a Python function, and if zeros do not fit the schema."""
    if model.is_function:
        return None
    if isinstance(model.reader, ColumnReader):
        return PredictionRequest(model.reader.read([dict(model.reader.example)]), is_array=True)
    if model.reader is not None:
        return PredictionRequest(np.zeros((1, model.reader.width), dtype=model.reader.dtype), is_array=True)
    columns = model.schema.columns
    if columns and all(column.name is not None and column.type in (None, *NUMPY_DTYPES) for column in columns):
        return PredictionRequest(pd.DataFrame(np.zeros((1, len(columns))), columns=[column.label for column in columns]))
    tensors = model.schema.tensors
    if len(tensors) == 1 and tensors[0].name is None and -1 not in tensors[0].shape[1:]:
        dtype = np.dtype(tensors[0].dtype)
        return PredictionRequest(np.zeros((1, *tensors[0].shape[1:]), dtype=dtype)) if dtype.kind in "biuf" else None
    return None
