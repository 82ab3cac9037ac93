"""Fast reader of inputs that are whole rows or columns of plain numbers, into an array.

Most requests are such. A model's schema (schema.py) reads every input, names every mistake, and builds the library's frame. The
reader handles the common case in one step, with the same result. For anything else (nulls, text, booleans, ragged rows, numbers
beyond float64) it returns None.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from serve_apps.model_server.inputs.array import PlainArray
from serve_apps.model_server.inputs.column_type import LARGEST_EXACT, NUMPY_DTYPES
from serve_apps.model_server.inputs.dataframe import NamedColumns
from serve_apps.model_server.inputs.features import Features
from serve_apps.model_server.inputs.schema import Schema
from serve_apps.model_server.inputs.tabular import Columns, Rows

_EXACT: Final = float(LARGEST_EXACT)
"""Up to here float64 holds every integer: the result does not depend on the order of conversions."""
_READABLE: Final = (np.dtype(np.float64), np.dtype(np.float32), np.dtype(np.int64))


@dataclass(frozen=True, slots=True)
class ArrayReader:
    """Reads inputs into an array of ``width`` columns in the model's order."""

    width: int
    names: tuple[str, ...] | None
    """None: the schema is a plain array."""
    dtype: np.dtype[Any]
    labels: tuple[str | int | None, ...] | None = None
    """Labels of the columns in a frame, if they differ from ``names``."""
    is_assumed: bool = False
    """The columns' types are unknown: the schema reads numbers that float64 does not hold."""

    def read(self, inputs: Any) -> NDArray[Any] | None:
        """Read rows or records as lists, columns as a mapping, or an array. None: use the schema."""
        if type(inputs) is Rows or type(inputs) is Columns:
            inputs = inputs.values
        values = self._ordered(inputs)
        if values is None:
            return None
        try:
            array = np.asarray(values)
        except (ValueError, OverflowError):  # ragged
            return None
        if array.ndim != 2:
            return None
        if isinstance(inputs, Mapping):
            array = array.T
        return self._typed(array) if array.shape[1] == self.width and len(array) else None

    def as_library_input(self, array: NDArray[Any]) -> NDArray[Any] | pd.DataFrame:
        """The array as the schema would have built it."""
        if self.names is None:
            return array
        return pd.DataFrame(self.in_library_order(array), columns=list(self.labels or self.names), copy=False)

    def in_library_order(self, array: NDArray[Any]) -> NDArray[Any]:
        """``array`` in the library's memory order: column-major for a frame, else row-major."""
        return array if self.names is None else np.asfortranarray(array)

    def _ordered(self, inputs: Any) -> Any:
        if isinstance(inputs, np.ndarray):
            return inputs if not self.is_assumed or inputs.dtype in (np.float64, np.int64) else None
        if isinstance(inputs, list):
            return self._records(inputs) if inputs and type(inputs[0]) is dict else inputs
        if not isinstance(inputs, Mapping) or len(inputs) != self.width:
            return None
        columns = self._of(inputs)
        if columns is None or (columns and any(type(column) not in (list, np.ndarray) for column in columns)):
            return None
        return columns

    def _records(self, records: list[Any]) -> list[Any] | None:
        rows = [self._of(record) if type(record) is dict and len(record) == self.width else None for record in records]
        return None if None in rows else rows

    def _of(self, named: Mapping[str, Any]) -> list[Any] | None:
        if self.names is None:
            return None
        try:
            return [named[name] for name in self.names]
        except KeyError:
            return None

    def _typed(self, array: NDArray[Any]) -> NDArray[Any] | None:
        kind = array.dtype.kind
        if kind not in "fi":
            return None
        if self.dtype.kind == "i":
            return np.ascontiguousarray(array, dtype=self.dtype) if kind == "i" else None
        if self.dtype.itemsize == 8 and not (self.is_assumed and kind == "i"):
            return np.ascontiguousarray(array, dtype=self.dtype)
        # NaN goes to the schema, too: a comparison with it is false.
        if not (array.max() <= _EXACT and array.min() >= -_EXACT):
            return None
        return np.ascontiguousarray(array, dtype=self.dtype)


def array_reader_of(schema: Schema, features: Features) -> ArrayReader | None:
    """Reader of a model whose inputs are numbers of one type; None for other models."""
    if isinstance(schema, PlainArray):
        width, dtype = schema.shape[-1], schema.dtype or np.dtype(np.float64)
        return ArrayReader(width, None, dtype) if len(schema.shape) == 2 and width > 0 and dtype in _READABLE else None
    if not isinstance(schema, NamedColumns) or not schema.columns:
        return None
    names = tuple(str(column.name) for column in schema.columns)
    types = {column.type for column in schema.columns}
    if len(types) != 1 or len(set(names)) != len(names):
        return None
    (wanted,) = types
    dtype = np.dtype(np.float64) if wanted is None else NUMPY_DTYPES.get(wanted)
    if (
        dtype is None
        or dtype not in _READABLE
        or any(column.trained is not None and column.trained.dtype != dtype.name for column in schema.columns)
    ):
        return None
    # The library checks a frame's names and their order; an array has none, so they must be right here.
    if features.names is not None and tuple(map(features.spelling, names)) != features.names:
        return None
    labels = tuple(column.label for column in schema.columns)
    return ArrayReader(len(names), names, dtype, None if labels == names else labels, is_assumed=wanted is None)
