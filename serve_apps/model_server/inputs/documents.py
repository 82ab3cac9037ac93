"""Schemas of models that take no table: a value, a dictionary or a list for each row."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from raylift.domain.errors import FieldError
from serve_apps.model_server.errors import WrongInputs
from serve_apps.model_server.inputs.column_type import NUMPY_DTYPES, ColumnType
from serve_apps.model_server.inputs.column_values.conversion import convert
from serve_apps.model_server.inputs.dataframe import NamedColumns, wrong_types
from serve_apps.model_server.inputs.signature import Column, Tensor
from serve_apps.model_server.inputs.tabular import Columns, Inputs, Rows, require_table, wrong_count
from serve_apps.model_server.inputs.values import Mistyped, Values, describe_value, is_missing


@dataclass(frozen=True, slots=True)
class SingleValues:
    """One value for each row: rows ``[["a"], ["b"]]``, a list ``["a", "b"]``, or one column.

    The column may have any name, unless the model has one.
    """

    column: Column
    is_series: bool = False
    """Pass a pandas Series to the model; else an array of text."""
    takes_missing: bool = False

    @property
    def columns(self) -> tuple[Column, ...]:
        return () if self.column.name is None else (self.column,)

    @property
    def tensors(self) -> tuple[Tensor, ...]:
        is_number = self.column.type in NUMPY_DTYPES
        return (Tensor(None, "float64" if is_number else "str", (-1,)),) if self.column.name is None else ()

    def batch(self, inputs: Inputs, *, ignore_unexpected: bool = False) -> NDArray[Any] | pd.Series:
        inputs = require_table(inputs)
        name, values = self._single_values(inputs, ignore_unexpected=ignore_unexpected)
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

    def _single_values(self, inputs: Rows | Columns, *, ignore_unexpected: bool) -> tuple[str | None, Values]:
        if isinstance(inputs, Rows):
            return None, _flat(inputs.values)
        if self.column.name is not None:
            # NamedColumns refuses missing and unexpected columns.
            named = NamedColumns((Column(self.column.name, None),)).batch(inputs, ignore_unexpected=ignore_unexpected)
            return self.column.name, list(named.iloc[:, 0])
        if len(inputs.values) != 1:
            raise wrong_count(1, len(inputs.values))
        return next(iter(inputs.values.items()))


@dataclass(frozen=True, slots=True)
class Records:
    """A dictionary for each row, without null and absent fields. Other values stay unchanged."""

    columns: tuple[Column, ...] = ()
    """Known fields, all optional."""
    tensors: tuple[Tensor, ...] = ()

    def batch(self, inputs: Inputs, *, ignore_unexpected: bool = False) -> list[dict[str, Any]]:
        inputs = require_table(inputs)
        if isinstance(inputs, Rows):
            detail = 'wants records or columns by name: [{"name": value}] or {"name": [values]}'
            raise WrongInputs(f"The model takes dictionaries. It {detail}.", [FieldError("inputs", detail)])
        columns = {name: _natives(values) for name, values in inputs.values.items()}
        self._refuse_other_types(columns)
        names = list(columns)
        rows = zip(*columns.values(), strict=True)
        return [{name: value for name, value in zip(names, row, strict=True) if value is not None} for row in rows]

    def _refuse_other_types(self, columns: Mapping[str, Sequence[Any]]) -> None:
        """Refuse numbers for text and text for numbers: a vectorizer silently drops unknown features."""
        known = {column.name: column.type for column in self.columns}
        errors = [
            FieldError(f"inputs.{name}", f"wants {wants}; row {row} has {describe_value(values[row])}")
            for name, values in columns.items()
            if (found := _other_type(values, known.get(name))) is not None
            for row, wants in (found,)
        ]
        if errors:
            raise wrong_types(errors)


@dataclass(frozen=True, slots=True)
class Lists:
    """A list of any length for each row: ``[["a", "b"], ["c"]]``, or one column of lists."""

    columns: tuple[Column, ...] = ()

    @property
    def tensors(self) -> tuple[Tensor, ...]:
        return () if self.columns else (Tensor(None, "object", (-1,)),)

    def batch(self, inputs: Inputs, *, ignore_unexpected: bool = False) -> list[list[Any]]:
        values = require_table(inputs).values
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
    """The values of rows that are a value or a list of one value."""
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
    """Python values. NaN in an array becomes None: an array has no other value for an absent field."""
    if not isinstance(values, np.ndarray):
        return list(values)
    return [None if is_missing(value) else value for value in values.tolist()]


def _other_type(values: Sequence[Any], wanted: ColumnType | None) -> tuple[int, str] | None:
    """First row with text for a number or a number for text, and the wanted type; None if there is none."""
    if wanted in NUMPY_DTYPES:
        return next(((row, "a number") for row, value in enumerate(values) if isinstance(value, str)), None)
    if wanted is ColumnType.STRING:
        return next(((row, "text") for row, value in enumerate(values) if isinstance(value, (int, float))), None)
    return None
