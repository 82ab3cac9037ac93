"""Builds the reader of a model's columns. The library transforms each value that its encoders know once, at load.

A table row has the outputs that one value changes in a transformed row. If two columns change the same output, there is no
reader.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from serve_apps.model_server.errors import WrongInputs
from serve_apps.model_server.inputs.column_reader import ColumnReader, ColumnValues, Lookup, Numbers
from serve_apps.model_server.inputs.column_type import ColumnType
from serve_apps.model_server.inputs.schema import Schema
from serve_apps.model_server.inputs.signature import Column
from serve_apps.model_server.inputs.tabular import from_records
from serve_apps.model_server.inputs.training_table import TrainedColumn
from serve_apps.model_server.predictors.fast_paths.column_stages import ColumnStages

UNKNOWN: Final = "no such category \N{SNOWMAN}"
_MOST_CELLS: Final = 4_000_000
"""Limit of a table: 32 MB."""

Record = Mapping[str, Any]


def column_reader_of(schema: Schema, stages: ColumnStages) -> ColumnReader | None:
    """Reader of a model's records; None if a column's type or its transformation is not understood."""
    columns = [_values_of(column) for column in schema.columns]
    names = tuple(column.name for column in columns if column is not None)
    used = {name for block in stages.numbers for name in block.columns} | stages.encoded.keys()
    if None in columns or len(set(names)) != len(columns) or not used <= set(names):
        return None
    described = {column.name: column for column in columns if column is not None}
    if any(str in described[name].types for block in stages.numbers for name in block.columns):
        return None
    return _Builder(schema, stages, described).reader()


@dataclass
class _Builder:
    schema: Schema
    stages: ColumnStages
    columns: dict[str, ColumnValues]

    def reader(self) -> ColumnReader | None:
        example = {name: self._accepted_value(column) for name, column in self.columns.items()}
        given = self.stages.transform(self._frame([example] * 2))
        is_table = isinstance(given, (np.ndarray, pd.DataFrame))
        if self.stages.path.multiplies and is_table and np.asarray(given).dtype.kind != "f":
            # For integers and objects the library's matrix product adds in another order than for floating point.
            return None
        base = _dense(given)[0]
        lookups: list[Lookup] = []
        names = list(self.columns)
        for name in self.stages.encoded:
            lookup = self._lookup(example, base, name, self._known(name))
            if lookup is None:
                return None
            lookups.append(lookup)
        owned = [output for lookup in lookups for output in np.arange(len(base))[lookup.outputs].tolist()]
        if len(set(owned)) < len(owned):
            return None
        self._allow_missing(example, lookups)
        number_names = list(dict.fromkeys(name for block in self.stages.numbers for name in block.columns))
        return ColumnReader(
            columns=tuple(self.columns.values()),
            names=tuple(names),
            constant=base,
            number_columns=tuple(names.index(name) for name in number_names),
            numbers=[
                Numbers(_slice([number_names.index(name) for name in block.columns]), block.outputs, block.steps)
                for block in self.stages.numbers
            ],
            lookups=lookups,
            prepare=self.stages.path.prepare,
            is_column_major=is_table and not np.asarray(given).flags.c_contiguous,
            example=example,
        )

    def _accepted_value(self, column: ColumnValues) -> Any:
        """A value that every model accepts."""
        known = self._known(column.name)
        if known:
            return known[0]
        return "" if str in column.types else column.types == frozenset({bool}) if bool in column.types else 0

    def _known(self, name: str) -> list[Any]:
        """Values that the column's encoders know, as a request has them."""
        column = self.columns[name]
        values = [_in_type(value, column) for value in self.stages.encoded.get(name, ())]
        return list(dict.fromkeys(value for value in values if column.has([value])))

    def _lookup(self, example: Record, base: NDArray[np.float64], name: str, known: Sequence[Any]) -> Lookup | None:
        if len(known) * len(base) > _MOST_CELLS:
            return None
        known_rows = [self._transformed([{**example, name: value} for value in known])] if known else []
        others = [self._row_of(example, name, value) for value in (None, _unknown(known, self.columns[name]))]
        rows = np.vstack([*known_rows, *(row for row in others if row is not None), base[np.newaxis]])
        changes = (rows.view(np.int64) != base.view(np.int64)).any(axis=0)
        for block in self.stages.numbers:
            changes[block.outputs] = False
        outputs = _slice(np.flatnonzero(changes).tolist())
        places: dict[Any, int] = {value: place for place, value in enumerate(known)}
        missing, unknown = others
        if missing is not None:
            places[None] = len(known)
        place = None if unknown is None else len(known) + (missing is not None)
        table = np.ascontiguousarray(rows[:, outputs])
        return Lookup(list(self.columns).index(name), places, place, table, outputs)

    def _row_of(self, example: Record, name: str, value: Any) -> NDArray[np.float64] | None:
        """Transformed row of a value; None if the schema or the library refuses it.

        None also if it differs between a single record and two records: then only the schema can read it.
        """
        if value is _NO_VALUE:
            return None
        record = {**example, name: value}
        try:
            alone, beside = self._transformed([record]), self._transformed([record, example])[:1]
        except (WrongInputs, ValueError, TypeError):
            return None
        return alone if alone.tobytes() == beside.tobytes() else None

    def _allow_missing(self, example: Record, lookups: Sequence[Lookup]) -> None:
        """Allow nulls in the columns where the schema does."""
        looked_up = {list(self.columns)[lookup.column]: lookup for lookup in lookups}
        for name, column in self.columns.items():
            if name in looked_up and None not in looked_up[name].places:
                continue
            try:
                frame = self._frame([{**example, name: None}])
            except WrongInputs:
                continue
            # A missing number must still be a number: NaN, or pandas' NA in a number column.
            if not column.is_number or frame[name].dtype != object:
                self.columns[name] = _with_missing(column)

    def _frame(self, records: Sequence[Record]) -> pd.DataFrame:
        return self.schema.batch(from_records(records))

    def _transformed(self, records: Sequence[Record]) -> NDArray[np.float64]:
        return _dense(self.stages.transform(self._frame(records)))


_NO_VALUE: Final = object()


def _in_type(value: Any, column: ColumnValues) -> Any:
    """A category as a request has it. Encoders keep integers beside gaps as floating point."""
    return int(value) if float not in column.types and type(value) is float and value.is_integer() else value


def _unknown(known: Sequence[Any], column: ColumnValues) -> Any:
    """A value that no encoder knows."""
    if str in column.types:
        return UNKNOWN
    if not column.is_number:
        return _NO_VALUE
    numbers = (number for number in (*range(-1, -100, -1), *range(10**4)) if number not in known and column.has([number]))
    return next(numbers, _NO_VALUE)


def _values_of(column: Column) -> ColumnValues | None:
    """Accepted values of a column; None for a dtype that is not simple."""
    name = column.name
    if name is None or column.label != name or not _is_simple(column.trained):
        return None
    if column.type is ColumnType.STRING:
        return ColumnValues(name, frozenset({str}))
    if column.type is ColumnType.BOOLEAN:
        return ColumnValues(name, frozenset({bool}))
    if column.type is ColumnType.DOUBLE:
        return ColumnValues(name, frozenset({int, float}), is_number=True)
    if column.type in (ColumnType.INTEGER, ColumnType.LONG):
        bounds = np.iinfo(_integers(column))
        return ColumnValues(name, frozenset({int}), bounds.min, bounds.max, is_number=True)
    return None


def _is_simple(trained: TrainedColumn | None) -> bool:
    return trained is None or trained.dtype != "object" or trained.values in ("string", "boolean")


def _integers(column: Column) -> str:
    """NumPy's dtype of an integer column."""
    dtype = column.trained.dtype.lower() if column.trained is not None else ""
    return dtype if dtype.startswith(("int", "uint")) else "int32" if column.type is ColumnType.INTEGER else "int64"


def _with_missing(column: ColumnValues) -> ColumnValues:
    return ColumnValues(column.name, column.types | {type(None)}, column.low, column.high, column.is_number)


def _dense(given: Any) -> NDArray[np.float64]:
    array = given.toarray() if hasattr(given, "toarray") else np.asarray(given)
    if array.dtype.kind not in "biufO" or array.dtype == np.float32:
        raise TypeError(f"the transformed columns are of type {array.dtype}")
    return array.astype(np.float64)


def _slice(places: Sequence[int]) -> Any:
    """Indices as a slice if they are consecutive."""
    if not places:
        return slice(0, 0)
    if list(places) == list(range(places[0], places[-1] + 1)):
        return slice(places[0], places[-1] + 1)
    return np.array(places, dtype=np.intp)
