"""The short way from inputs to an array: what most requests are, whole rows or columns of plain numbers.

A model's schema (schema.py) reads everything, names every mistake, and makes the frame that a library wants. Here is nothing
but the common case, in one step and with the same result. Whatever looks unusual (nulls, text, booleans, ragged rows, numbers
that float64 cannot hold) is left to the schema: the reader answers None.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from serve_apps.model_server.inputs.array import PlainArray
from serve_apps.model_server.inputs.column_type import ColumnType
from serve_apps.model_server.inputs.dataframe import NamedColumns
from serve_apps.model_server.inputs.features import Features
from serve_apps.model_server.inputs.schema import Schema
from serve_apps.model_server.inputs.tabular import Columns, Rows

_EXACT: Final = float(2**53)
"""Up to here float64 holds every integer, so that it does not matter by which way a number became what it is."""
_DTYPES: Final = {
    ColumnType.DOUBLE: np.dtype(np.float64),
    ColumnType.FLOAT: np.dtype(np.float32),
    ColumnType.LONG: np.dtype(np.int64),
}
_READ: Final = (np.dtype(np.float64), np.dtype(np.float32), np.dtype(np.int64))


@dataclass(frozen=True, slots=True)
class ArrayReader:
    """Reads inputs into an array of ``width`` columns, in the model's order."""

    width: int
    names: tuple[str, ...] | None
    """None: the model's schema is of a plain array."""
    dtype: np.dtype[Any]
    labels: tuple[str | int | None, ...] | None = None
    """The columns' names in a frame, where these are not ``names``."""
    is_assumed: bool = False
    """Nothing is known of the columns' types: numbers that float64 does not hold are left to the schema."""

    def read(self, inputs: Any) -> NDArray[Any] | None:
        """Inputs as a protocol has them: rows or records as lists, columns as a mapping, or an array. None: ask the schema."""
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

    def for_library(self, array: NDArray[Any]) -> NDArray[Any] | pd.DataFrame:
        """What the schema would have made of the same inputs."""
        if self.names is None:
            return array
        return pd.DataFrame(self.laid_out(array), columns=list(self.labels or self.names), copy=False)

    def laid_out(self, array: NDArray[Any]) -> NDArray[Any]:
        """``array`` in memory as the library would have it: by column where a frame holds it, else by row."""
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
        # NaN is left to the schema, too: a comparison with it is false.
        if not (array.max() <= _EXACT and array.min() >= -_EXACT):
            return None
        return np.ascontiguousarray(array, dtype=self.dtype)


def array_reader_of(schema: Schema, features: Features) -> ArrayReader | None:
    """The reader of a model whose inputs are numbers of one type; None for any other."""
    if isinstance(schema, PlainArray):
        width, dtype = schema.shape[-1], schema.dtype or np.dtype(np.float64)
        return ArrayReader(width, None, dtype) if len(schema.shape) == 2 and width > 0 and dtype in _READ else None
    if not isinstance(schema, NamedColumns) or not schema.columns:
        return None
    names = tuple(str(column.name) for column in schema.columns)
    types = {column.type for column in schema.columns}
    if len(types) != 1 or len(set(names)) != len(names):
        return None
    (wanted,) = types
    dtype = np.dtype(np.float64) if wanted is None else _DTYPES.get(wanted)
    if dtype is None or any(column.trained is not None and column.trained.dtype != dtype.name for column in schema.columns):
        return None
    # A library checks the names of a frame and their order: an array has none, so they must be right beforehand.
    if features.names is not None and tuple(map(features.spelling, names)) != features.names:
        return None
    labels = tuple(column.label for column in schema.columns)
    return ArrayReader(len(names), names, dtype, None if labels == names else labels, is_assumed=wanted is None)
