"""The short way from columns of several types to the rows of numbers that a model computes with.

As fast_reader.py for numbers of one type, and as careful: whatever looks unusual is left to the schema, and the reader answers
None. Numbers pass through the model's scalers and imputers; of other columns each known value has its numbers in a table, which
the library itself made (loading/column_tables.py).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from serve_apps.model_server.inputs.tabular import Columns, Rows

Step = Callable[[NDArray[Any]], None]
"""Changes an array of float64 in place."""
_EXACT: Final = 2**53
"""Up to here float64 holds every integer."""


@dataclass(frozen=True, slots=True)
class ColumnValues:
    """The values that a column of inputs may have. Any other is the schema's business."""

    name: str
    types: frozenset[type]
    """JSON's, NoneType among them where a missing value is taken."""
    low: float = -math.inf
    high: float = math.inf
    is_number: bool = False

    def has(self, values: Sequence[Any]) -> bool:
        types = self.types
        for value in values:
            if type(value) not in types:
                return False
        return not self.is_number or all(self._fits(value) for value in values)

    def _fits(self, value: Any) -> bool:
        if type(value) is float:
            return math.isfinite(value)
        # Larger integers may become another float64 by another way.
        return value is None or (self.low <= value <= self.high and -_EXACT <= value <= _EXACT)


@dataclass(frozen=True, slots=True)
class Numbers:
    """A block of columns of numbers, its place in the transformed rows, and the operations on it."""

    columns: slice | NDArray[np.intp]
    """Their places among the columns that are numbers."""
    outputs: slice
    steps: Sequence[Step]


@dataclass(frozen=True, slots=True)
class Lookup:
    """The library's outputs for each value of a column."""

    column: int
    places: Mapping[Any, int]
    """The place of each value in the table."""
    others: int | None
    """The place of all values that are not listed; None where the library refuses them, or treats each in its own way."""
    table: NDArray[np.float64]
    outputs: slice | NDArray[np.intp]

    def write(self, values: Sequence[Any], rows: NDArray[np.float64]) -> bool:
        """Put the values' outputs into the rows. False when a value has none."""
        places: Any = [self.places.get(value, self.others) for value in values]
        if None in places:
            return False
        rows[:, self.outputs] = self.table[places]
        return True


@dataclass(frozen=True, slots=True)
class ColumnReader:
    """Reads records, rows or columns into what the fast path computes its scores of."""

    columns: tuple[ColumnValues, ...]
    """In the model's order."""
    names: tuple[str, ...]
    constant: NDArray[np.float64]
    """A transformed row: what does not depend on the inputs is right in it."""
    number_columns: tuple[int, ...]
    numbers: Sequence[Numbers]
    lookups: Sequence[Lookup]
    prepare: Callable[[NDArray[Any]], NDArray[Any] | None]
    """The fast path's own. None: the library's business."""
    lies_by_column: bool
    """The library's transformed rows lie in memory by column: a product of matrices shows it in its last bit."""
    example: Mapping[str, Any]
    """A record that it reads."""

    @property
    def width(self) -> int:
        """Number of columns of the inputs."""
        return len(self.columns)

    def read(self, inputs: Any) -> NDArray[Any] | None:
        """Inputs as a protocol has them: rows or records as lists, columns as a mapping. None: ask the schema."""
        if type(inputs) is Rows or type(inputs) is Columns:
            inputs = inputs.values
        columns = self._ordered(inputs)
        if columns is None or not all(map(_has, self.columns, columns)):
            return None
        return self._transformed(columns)

    def _transformed(self, columns: Sequence[Sequence[Any]]) -> NDArray[Any] | None:
        rows = np.empty((len(columns[0]), len(self.constant)), order="F" if self.lies_by_column else "C")
        rows[:] = self.constant
        if self.numbers:
            numbers = np.array([columns[index] for index in self.number_columns], dtype=np.float64).T
            for block in self.numbers:
                part = rows[:, block.outputs]
                part[:] = numbers[:, block.columns]
                for step in block.steps:
                    step(part)
        for lookup in self.lookups:
            if not lookup.write(columns[lookup.column], rows):
                return None
        return self.prepare(rows)

    def _ordered(self, inputs: Any) -> Sequence[Sequence[Any]] | None:
        """The values of each column, all of one length and at least one."""
        if isinstance(inputs, list):
            rows = self._rows(inputs)
            return None if rows is None else list(zip(*rows, strict=True))
        if not isinstance(inputs, Mapping) or len(inputs) != self.width:
            return None
        columns = [_listed(inputs.get(name)) for name in self.names]
        lengths = {-1 if column is None else len(column) for column in columns}
        return [column or [] for column in columns] if len(lengths) == 1 and lengths.isdisjoint((-1, 0)) else None

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


def _has(column: ColumnValues, values: Sequence[Any]) -> bool:
    return column.has(values)


def _listed(values: Any) -> list[Any] | None:
    if type(values) is np.ndarray:
        return values.tolist() if values.ndim == 1 and values.dtype.kind in "biufOUT" else None
    return values if type(values) is list else None
