"""Schemas of models that take a frame of columns, by name or by position."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence, Set
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
import pandas as pd

from raylift.domain.errors import FieldError
from serve_apps.model_server.errors import WrongInputs
from serve_apps.model_server.inputs.column_type import ColumnType
from serve_apps.model_server.inputs.column_values.coded import CodedColumn
from serve_apps.model_server.inputs.column_values.conversion import convert, untyped
from serve_apps.model_server.inputs.column_values.trained import as_trained
from serve_apps.model_server.inputs.signature import Column, Tensor
from serve_apps.model_server.inputs.tabular import Columns, Inputs, Rows, require_table, width_of, wrong_count
from serve_apps.model_server.inputs.values import Mistyped, Values

_LISTED: Final = 20


@dataclass(frozen=True, slots=True)
class NamedColumns:
    """Columns by name, in any order. Rows are read in the model's order."""

    columns: tuple[Column, ...]
    fill_optional: bool = False
    """Add optional columns that are absent, filled with missing values."""
    spelling: Callable[[str], str] = str
    """The model's spelling of a column's name."""
    ignored: frozenset[str] = frozenset()
    """Columns of the signature that the model was not trained on: accepted and dropped."""
    refuses_unseen: bool = False
    """True if the model refuses categories that it was not trained on."""
    aliases: Mapping[str, str] = field(default_factory=dict[str, str])
    """Alternative names of columns, mapped to those in ``columns``."""
    tensors: tuple[Tensor, ...] = ()

    def batch(self, inputs: Inputs, *, ignore_unexpected: bool = False) -> pd.DataFrame:
        inputs = require_table(inputs)
        if isinstance(inputs, Rows):
            given = self._by_position(inputs)
        else:
            given = self._by_name(inputs, ignore_unexpected=ignore_unexpected)
        return self._frame(given, len(inputs))

    def _by_position(self, rows: Rows) -> Mapping[str, Values]:
        array = rows.values if isinstance(rows.values, np.ndarray) else None
        width = width_of(array if array is not None else rows.values)
        if width != len(self.columns):
            raise wrong_count(len(self.columns), width, [column.name or "" for column in self.columns])
        values = array.T if array is not None else list(zip(*rows.values, strict=True))
        return {column.name or "": values[index] for index, column in enumerate(self.columns)}

    def _by_name(self, inputs: Columns, *, ignore_unexpected: bool) -> Mapping[str, Values]:
        names = {column.name for column in self.columns}
        given = self._spelled(inputs.values, names)
        missing = [column for column in self.columns if column.required and column.name not in given]
        unexpected = [] if ignore_unexpected else [name for name in given if name not in names]
        if missing or unexpected:
            errors = [FieldError(f"inputs.{column.name}", f"missing, wants {type_name(column.type)}") for column in missing]
            errors += [FieldError(f"inputs.{name}", "unexpected, the model has no such column") for name in unexpected]
            sentences = [_named("Missing", [str(column.name) for column in missing]), _named("Unexpected", unexpected)]
            raise WrongInputs(
                f"{' '.join(filter(None, sentences))} The model wants {describe(self.columns)}.",
                errors,
                wants=describe(self.columns),
            )
        return given

    def _spelled(self, values: Mapping[str, Values], names: Set[str | None]) -> Mapping[str, Values]:
        """The columns under the schema's names, without the ignored ones."""
        if values.keys() <= names:
            return values
        by_spelling = {**self.aliases, **{self.spelling(str(name)): str(name) for name in names}}
        spelled = {name: name if name in names else by_spelling.get(self.spelling(name), name) for name in values}
        repeated = [name for name, wanted in spelled.items() if name != wanted and wanted in values]
        if repeated:
            first = repeated[0]
            raise WrongInputs(
                f"The columns {first} and {spelled[first]} have the same name in the model, {self.spelling(first)}.",
                [FieldError(f"inputs.{name}", "given twice, with another spelling") for name in repeated],
            )
        return {spelled[name]: column for name, column in values.items() if name in names or name not in self.ignored}

    def _frame(self, given: Mapping[str, Values], rows: int) -> pd.DataFrame:
        converted: dict[str, Any] = {}
        errors: list[FieldError] = []
        for column in self.columns:
            name = column.name or ""
            if name not in given and not self.fill_optional:
                continue
            try:
                converted[name] = self._converted(given.get(name, [None] * rows), column)
            except Mistyped as error:
                errors.append(FieldError(f"inputs.{name}", str(error)))
        if errors:
            raise wrong_types(errors, wants=describe(self.columns))
        return self._assembled(converted)

    def _converted(self, values: Values | CodedColumn, column: Column) -> Any:
        if isinstance(values, CodedColumn):
            try:
                return self._converted(values.distinct, column).take(values.codes)
            except Mistyped:
                values = values.tolist()  # The error names the row.
        if column.trained is not None:
            return as_trained(values, column.trained, refuses_unseen=self.refuses_unseen)
        if column.type is None:
            return untyped(values)
        return convert(values, column.type, nested=column.nested, is_optional=not column.required)

    def _assembled(self, converted: Mapping[str, Any]) -> pd.DataFrame:
        labels = [column.label for column in self.columns if (column.name or "") in converted]
        columns = [_with_dtype(column) for column in converted.values()]
        if len({column.dtype for column in columns}) == 1 and _is_plain(columns[0]):
            # A frame of one block is built and read many times faster than one of many columns.
            return pd.DataFrame(np.stack(columns).T, columns=labels, copy=False)
        return pd.DataFrame(dict(zip(labels, columns, strict=True)))


def _with_dtype(column: Any) -> Any:
    """The column with a dtype that a frame keeps: pandas infers a new one for an object array."""
    return pd.Series(column, dtype=object) if column.dtype == object else column


def _is_plain(column: Any) -> bool:
    return isinstance(column, np.ndarray) and column.dtype.kind in "biuf"


@dataclass(frozen=True, slots=True)
class PlainColumns:
    """Typed columns without names, in the order given: a signature inferred from a list."""

    columns: tuple[Column, ...]
    tensors: tuple[Tensor, ...] = ()

    def batch(self, inputs: Inputs, *, ignore_unexpected: bool = False) -> pd.DataFrame:
        numbered = NamedColumns(tuple(Column(str(index), column.type) for index, column in enumerate(self.columns)))
        if isinstance(inputs, Columns):
            if len(inputs.values) != len(self.columns):
                raise wrong_count(len(self.columns), len(inputs.values))
            inputs = Columns({str(index): values for index, values in enumerate(inputs.values.values())})
        frame = numbered.batch(inputs, ignore_unexpected=ignore_unexpected)
        frame.columns = range(len(self.columns))
        return frame


def type_name(wanted: ColumnType | None) -> str:
    return "any value" if wanted is None or wanted is ColumnType.NESTED else wanted.value


def describe(columns: Sequence[Column]) -> str:
    """The columns in one line: ``age (long), name (string, optional)``."""
    shown = [
        f"{column.name}"
        + (f" ({type_name(column.type)}{'' if column.required else ', optional'})" if column.type is not None else "")
        for column in columns[:_LISTED]
    ]
    return f"{len(columns)} columns: {', '.join(shown)}" + (
        f" and {len(columns) - _LISTED} more" if len(columns) > _LISTED else ""
    )


def _named(what: str, names: Sequence[str]) -> str:
    if not names:
        return ""
    shown = ", ".join(names[:_LISTED]) + (f" and {len(names) - _LISTED} more" if len(names) > _LISTED else "")
    return f"{what} {'column' if len(names) == 1 else 'columns'}: {shown}."


def wrong_types(errors: Sequence[FieldError], **facts: Any) -> WrongInputs:
    """Error of columns with values of a wrong type."""
    details = "; ".join(f"{error.field.removeprefix('inputs.')} {error.detail}" for error in errors[:_LISTED])
    return WrongInputs(f"Wrong {'type' if len(errors) == 1 else 'types'}: {details}.", errors, **facts)
