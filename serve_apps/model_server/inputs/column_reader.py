"""Fast reader of columns of several types, into the rows of numbers that a model computes with.

Like fast_reader.py, it returns None for unusual inputs, and the schema reads them. Numbers go through the model's scalers and
imputers. Each known value of another column has its numbers in a table that the library made (loading/column_tables.py).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from serve_apps.model_server.inputs.column_type import LARGEST_EXACT
from serve_apps.model_server.inputs.column_values.coded import CodedColumn
from serve_apps.model_server.inputs.tabular import Columns, Rows

Given = Sequence[Any] | NDArray[Any] | CodedColumn
"""Values of a column as they are read: numbers in an array, text by its distinct values, or a list as JSON has it."""
Step = Callable[[NDArray[Any]], None]
"""Operation on an array of float64, in place."""


@dataclass(frozen=True, slots=True)
class ColumnValues:
    """Values of a column that the reader takes. The schema reads all others."""

    name: str
    types: frozenset[type]
    """Python types of JSON; NoneType among them if a missing value is allowed."""
    low: float = -math.inf
    high: float = math.inf
    is_number: bool = False

    def has(self, values: Given) -> bool:
        if isinstance(values, np.ndarray):
            return self._has_array(values)
        types = self.types
        if isinstance(values, CodedColumn):
            values = values.distinct
        for value in values:
            if type(value) not in types:
                return False
        return not self.is_number or all(self._fits(value) for value in values)

    def _has_array(self, values: NDArray[Any]) -> bool:
        kind = values.dtype.kind
        if kind == "f":
            if float not in self.types:
                return False
            finite = np.isfinite(values)
            return bool(finite.all()) or (type(None) in self.types and bool((finite | np.isnan(values)).all()))
        if kind == "b":
            return bool in self.types
        return int in self.types and self._fits(int(values.min())) and self._fits(int(values.max()))

    def _fits(self, value: Any) -> bool:
        if type(value) is float:
            return math.isfinite(value)
        # Larger integers may round differently on another path.
        return value is None or (self.low <= value <= self.high and -LARGEST_EXACT <= value <= LARGEST_EXACT)


@dataclass(frozen=True, slots=True)
class Numbers:
    """A block of number columns, its place in the transformed rows, and its operations."""

    columns: slice | NDArray[np.intp]
    """Positions among the number columns."""
    outputs: slice
    steps: Sequence[Step]


@dataclass(frozen=True, slots=True)
class Lookup:
    """Transformed values of each value of a column, as the library computed them."""

    column: int
    places: Mapping[Any, int]
    """Row of each value in the table."""
    others: int | None
    """Row of all other values; None if the library refuses them or treats each differently."""
    table: NDArray[np.float64]
    outputs: slice | NDArray[np.intp]

    def write(self, values: Given, rows: NDArray[np.float64]) -> bool:
        """Write the values' outputs into the rows. False if a value has none."""
        if isinstance(values, np.ndarray):
            values = CodedColumn.of_array(values)
        distinct = values.distinct if isinstance(values, CodedColumn) else values
        places: Any = [self.places.get(value, self.others) for value in distinct]
        if None in places:
            return False
        rows[:, self.outputs] = self.table[np.take(places, values.codes) if isinstance(values, CodedColumn) else places]
        return True


@dataclass(frozen=True, slots=True)
class ColumnReader:
    """Reads records, rows or columns into the input of a fast path."""

    columns: tuple[ColumnValues, ...]
    """In the model's order."""
    names: tuple[str, ...]
    constant: NDArray[np.float64]
    """A transformed row; outputs that do not depend on the inputs are right in it."""
    number_columns: tuple[int, ...]
    numbers: Sequence[Numbers]
    lookups: Sequence[Lookup]
    prepare: Callable[[NDArray[Any]], NDArray[Any] | None]
    """``prepare`` of the fast path. None: the library must predict."""
    is_column_major: bool
    """True if the library's transformed rows are column-major: the order can change the last bit of a matrix product."""
    example: Mapping[str, Any]
    """A record that the reader takes."""

    @property
    def width(self) -> int:
        """Number of input columns."""
        return len(self.columns)

    def read(self, inputs: Any) -> NDArray[Any] | None:
        """Read rows or records as lists, or columns as a mapping. None: use the schema."""
        if type(inputs) is Rows or type(inputs) is Columns:
            inputs = inputs.values
        columns = self._ordered(inputs)
        if columns is None or not all(map(ColumnValues.has, self.columns, columns)):
            return None
        return self._transformed(columns)

    def columns_of(self, inputs: Any) -> Sequence[Sequence[Any]] | None:
        """Values of each column, as they were sent; None for other inputs."""
        if type(inputs) is Rows or type(inputs) is Columns:
            inputs = inputs.values
        columns = self._ordered(inputs)
        return None if columns is None else [_listed(each) for each in columns]

    def _transformed(self, columns: Sequence[Given]) -> NDArray[Any] | None:
        rows = np.empty((len(columns[0]), len(self.constant)), order="F" if self.is_column_major else "C")
        rows[:] = self.constant
        if self.numbers:
            numbers = np.array([_numbers(columns[index]) for index in self.number_columns], dtype=np.float64).T
            for block in self.numbers:
                part = rows[:, block.outputs]
                part[:] = numbers[:, block.columns]
                for step in block.steps:
                    step(part)
        for lookup in self.lookups:
            if not lookup.write(columns[lookup.column], rows):
                return None
        return self.prepare(rows)

    def _ordered(self, inputs: Any) -> Sequence[Given] | None:
        """Values of each column, of one length of at least one; None for other inputs."""
        if isinstance(inputs, list):
            rows = self._rows(inputs)
            return None if rows is None else list(zip(*rows, strict=True))
        if not isinstance(inputs, Mapping) or len(inputs) != self.width:
            return None
        columns = [column for name in self.names if (column := _given(inputs.get(name))) is not None]
        lengths = {len(column) for column in columns}
        return columns if len(columns) == self.width and len(lengths) == 1 and 0 not in lengths else None

    def _rows(self, inputs: list[Any]) -> list[list[Any]] | None:
        width, names = self.width, self.names
        if not inputs or type(inputs[0]) is list:
            return inputs if inputs and all(type(row) is list and len(row) == width for row in inputs) else None
        if not all(type(record) is dict and len(record) == width for record in inputs):
            return None
        try:
            return [[record[name] for name in names] for record in inputs]
        except KeyError:
            return None


def _given(values: Any) -> Given | None:
    if type(values) is np.ndarray and values.ndim == 1:
        return values if values.dtype.kind in "biuf" else values.tolist() if values.dtype.kind in "OUT" else None
    return values if type(values) in (list, CodedColumn) else None


def _numbers(values: Given) -> Any:
    return np.take(np.array(values.distinct, dtype=np.float64), values.codes) if type(values) is CodedColumn else values


def _listed(values: Given) -> Sequence[Any]:
    return values.tolist() if isinstance(values, (np.ndarray, CodedColumn)) else values
