"""Inputs of models that take no table: a text or another single value a row, a dictionary a row, a list a row."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from raylift.domain.errors import FieldError
from serve_apps.model_server.errors import WrongInputs
from serve_apps.model_server.inputs.column_type import ColumnType
from serve_apps.model_server.inputs.column_values.conversion import convert
from serve_apps.model_server.inputs.dataframe import NamedColumns
from serve_apps.model_server.inputs.signature import Column, Tensor
from serve_apps.model_server.inputs.tabular import Columns, Inputs, Raw, Rows, not_tabular, refuse_empty, wrong_count
from serve_apps.model_server.inputs.values import Mistyped, Values, describe_value, is_missing

_NUMERIC: Final = frozenset({ColumnType.DOUBLE, ColumnType.FLOAT, ColumnType.LONG, ColumnType.INTEGER, ColumnType.BOOLEAN})


@dataclass(frozen=True, slots=True)
class SingleValues:
    """One value a row: rows ``[["a"], ["b"]]``, a flat list ``["a", "b"]``, or one column.

    The column may have any name unless the model knows it by one.
    """

    column: Column
    is_series: bool = False
    """Give the model a pandas Series; else texts as an array."""
    takes_missing: bool = False

    @property
    def columns(self) -> tuple[Column, ...]:
        return () if self.column.name is None else (self.column,)

    @property
    def tensors(self) -> tuple[Tensor, ...]:
        is_number = self.column.type in _NUMERIC
        return (Tensor(None, "float64" if is_number else "str", (-1,)),) if self.column.name is None else ()

    def batch(self, inputs: Inputs, *, ignore_unexpected: bool = False) -> NDArray[Any] | pd.Series:
        if isinstance(inputs, Raw):
            raise not_tabular()
        refuse_empty(inputs)
        name, values = self._one_each(inputs, ignore_unexpected=ignore_unexpected)
        field = f"inputs.{name}" if isinstance(inputs, Columns) else "inputs"
        try:
            converted = convert(values, self.column.type)
            if not self.takes_missing:
                _refuse_missing(converted)
        except Mistyped as error:
            raise WrongInputs(f"{field} {error}.", [FieldError(field, str(error))]) from None
        if self.is_series:
            return pd.Series(converted, name=name if self.column.name is None else self.column.label)
        return np.asarray(converted, dtype=object)

    def _one_each(self, inputs: Rows | Columns, *, ignore_unexpected: bool) -> tuple[str | None, Values]:
        if isinstance(inputs, Rows):
            return None, _flat(inputs.values)
        if self.column.name is not None:
            # By its rules a missing or unexpected column is refused.
            named = NamedColumns((Column(self.column.name, None),)).batch(inputs, ignore_unexpected=ignore_unexpected)
            return self.column.name, list(named.iloc[:, 0])
        if len(inputs.values) != 1:
            raise wrong_count(1, len(inputs.values))
        return next(iter(inputs.values.items()))


@dataclass(frozen=True, slots=True)
class Records:
    """A dictionary a row. What is null or left out is not in it; all else is as it came."""

    columns: tuple[Column, ...] = ()
    """Those that are known, none of which a record needs."""
    tensors: tuple[Tensor, ...] = ()

    def batch(self, inputs: Inputs, *, ignore_unexpected: bool = False) -> list[dict[str, Any]]:
        if isinstance(inputs, Raw):
            raise not_tabular()
        refuse_empty(inputs)
        if isinstance(inputs, Rows):
            detail = 'wants records or columns by name: [{"name": value}] or {"name": [values]}'
            raise WrongInputs(f"The model takes dictionaries. It {detail}.", [FieldError("inputs", detail)])
        columns = {name: _natives(values) for name, values in inputs.values.items()}
        self._refuse_other_types(columns)
        names = list(columns)
        rows = zip(*columns.values(), strict=True)
        return [{name: value for name, value in zip(names, row, strict=True) if value is not None} for row in rows]

    def _refuse_other_types(self, columns: Mapping[str, Sequence[Any]]) -> None:
        """Refuse numbers for texts and the reverse: a vectorizer leaves out in silence what it has not seen."""
        known = {column.name: column.type for column in self.columns}
        errors = [
            FieldError(f"inputs.{name}", f"wants {wants}; row {row} has {describe_value(values[row])}")
            for name, values in columns.items()
            if (found := _other_type(values, known.get(name))) is not None
            for row, wants in (found,)
        ]
        if errors:
            said = "; ".join(f"{error.field.removeprefix('inputs.')} {error.detail}" for error in errors)
            raise WrongInputs(f"Wrong {'type' if len(errors) == 1 else 'types'}: {said}.", errors)


@dataclass(frozen=True, slots=True)
class Lists:
    """A list a row, of any length: ``[["a", "b"], ["c"]]``, or one column of lists."""

    columns: tuple[Column, ...] = ()

    @property
    def tensors(self) -> tuple[Tensor, ...]:
        return () if self.columns else (Tensor(None, "object", (-1,)),)

    def batch(self, inputs: Inputs, *, ignore_unexpected: bool = False) -> list[list[Any]]:
        if isinstance(inputs, Raw):
            raise not_tabular()
        refuse_empty(inputs)
        values = inputs.values
        if isinstance(values, Mapping):
            if len(values) != 1:
                raise wrong_count(1, len(values))
            values = next(iter(values.values()))
        rows: list[Any] = values.tolist() if isinstance(values, np.ndarray) else list(values)
        for row, value in enumerate(rows):
            if not isinstance(value, list):
                detail = f'wants a list a row: [["a", "b"], ["c"]]; row {row} has {describe_value(value)}'
                raise WrongInputs(f"The model takes lists. It {detail}.", [FieldError(f"inputs[{row}]", detail)])
        return rows


def _flat(rows: Sequence[Any] | NDArray[Any]) -> list[Any]:
    """The values of rows that are one value each, or a list of one."""
    values: list[Any] = []
    for row in rows.tolist() if isinstance(rows, np.ndarray) else rows:
        if isinstance(row, (list, tuple)):
            if len(row) != 1:  # pyright: ignore[reportUnknownArgumentType]
                raise wrong_count(1, len(row))  # pyright: ignore[reportUnknownArgumentType]
            values.append(row[0])
        else:
            values.append(row)
    return values


def _refuse_missing(values: Values) -> None:
    for row, value in enumerate(values):
        if is_missing(value):
            raise Mistyped(f"wants text; row {row} has null")


def _natives(values: Values) -> list[Any]:
    """Values as JSON would have them. In an array NaN stands for what a record lacks: there is no other word for it."""
    if not isinstance(values, np.ndarray):
        return list(values)
    return [None if is_missing(value) else value for value in values.tolist()]


def _other_type(values: Sequence[Any], wanted: ColumnType | None) -> tuple[int, str] | None:
    """The first row that is text for a number, or the reverse, and what is wanted there."""
    if wanted in _NUMERIC:
        return next(((row, "a number") for row, value in enumerate(values) if isinstance(value, str)), None)
    if wanted is ColumnType.STRING:
        return next(((row, "text") for row, value in enumerate(values) if isinstance(value, (int, float))), None)
    return None
