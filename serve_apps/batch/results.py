"""Answers of a model as columns of a table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray

from serve_apps.model_server.jsonify import dumps
from serve_apps.model_server.model import Model, PredictionResult
from serve_apps.model_server.outputs.rows import rows_of
from serve_apps.model_server.outputs.tables import plain

PREDICTION: Final = "prediction"
PROBABILITY: Final = "probability"
_PLAIN_KINDS: Final = frozenset("biufM")

AnswerColumns = Mapping[str, pa.Array]


def answer_columns(result: PredictionResult, rows: int, model: Model) -> AnswerColumns:
    """Return columns for the answers to some rows, in the model's own types.

    A frame or records become a column for each field (``prediction_FIELD``), and probabilities one for each class.

    Raises:
        UnusableOutput: The model did not answer one entry for each row.
    """
    columns = dict(_predictions(result.predictions, rows))
    if result.probabilities is not None:
        classes: Sequence[Any] = model.classes or range(np.shape(result.probabilities)[1])
        for index, name in enumerate(classes):
            columns[f"{PROBABILITY}_{name}"] = pa.array(np.ascontiguousarray(result.probabilities[:, index]))
    return columns


def _predictions(answer: Any, rows: int) -> Mapping[str, pa.Array]:
    array = _plain_array(answer, rows)
    if array is not None:
        return {PREDICTION: array}
    entries = rows_of(answer, rows)
    if len(entries) != rows:
        # An answer of any length to one row is an entry by itself.
        entries = [entries]
    records: list[dict[Any, Any]] = [entry for entry in entries if isinstance(entry, dict)]
    if records and len(records) == len(entries):
        names = dict.fromkeys(name for record in records for name in record)
        return {f"{PREDICTION}_{name}": column([record.get(name) for record in records]) for name in names}
    return {PREDICTION: column(entries)}


def _plain_array(answer: Any, rows: int) -> pa.Array | None:
    """Return an array of numbers as it is, so that its type stays; None for other answers."""
    known = plain(answer)
    if isinstance(known, pd.Series):
        known = known.to_numpy()
    if not isinstance(known, np.ndarray) or known.ndim not in (1, 2) or len(known) != rows:
        return None
    if known.dtype.kind not in _PLAIN_KINDS or known.dtype.itemsize > 8:
        return None
    return pa.array(known) if known.ndim == 1 else _lists(known)


def _lists(array: NDArray[Any]) -> pa.Array:
    width = array.shape[1]
    offsets = np.arange(0, array.size + 1, width, dtype=np.int32) if width else np.zeros(len(array) + 1, dtype=np.int32)
    return pa.ListArray.from_arrays(pa.array(offsets), pa.array(np.ascontiguousarray(array).reshape(-1)))


def column(values: list[Any]) -> pa.Array:
    """Return values of JSON as a column. Values that Arrow does not hold together become JSON text."""
    try:
        return pa.array(values)
    except (pa.ArrowInvalid, pa.ArrowTypeError, pa.ArrowNotImplementedError, OverflowError):
        return pa.array([None if value is None else dumps(value).decode() for value in values])
