"""Models that want columns: a frame made of inputs found by name, or by position."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from raylift.domain.errors import FieldError
from serve_apps.model_server.errors import WrongInputs
from serve_apps.model_server.inputs.conversion import Mistyped, Values, convert
from serve_apps.model_server.inputs.signature import Column, ColumnType, Tensor
from serve_apps.model_server.inputs.tabular import Columns, Inputs, Raw, Rows, not_tabular, refuse_empty, width_of, wrong_count

_UNIFORM: Final = frozenset({ColumnType.DOUBLE, ColumnType.FLOAT, ColumnType.LONG, ColumnType.INTEGER, ColumnType.BOOLEAN})
_LISTED: Final = 20


@dataclass(frozen=True, slots=True)
class NamedColumns:
    """Columns found by name; their order in the request is of no matter. Rows by position are taken in the model's order."""

    columns: tuple[Column, ...]
    fill_optional: bool = False
    """Give the model a column of missing values for an optional one that is not there."""
    spelling: Callable[[str], str] = str
    """How the model spells a column's name."""
    tensors: tuple[Tensor, ...] = ()

    def batch(self, inputs: Inputs, *, ignore_unexpected: bool = False) -> pd.DataFrame:
        if isinstance(inputs, Raw):
            raise not_tabular()
        refuse_empty(inputs)
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
        given = {name if name in names else self.spelling(name): values for name, values in inputs.values.items()}
        missing = [column for column in self.columns if column.required and column.name not in given]
        unexpected = [] if ignore_unexpected else [name for name in given if name not in names]
        if missing or unexpected:
            errors = [FieldError(f"inputs.{column.name}", f"missing, wants {type_name(column.type)}") for column in missing]
            errors += [FieldError(f"inputs.{name}", "unexpected, the model has no such column") for name in unexpected]
            said = [_named("Missing", [str(column.name) for column in missing]), _named("Unexpected", unexpected)]
            raise WrongInputs(
                f"{' '.join(filter(None, said))} The model wants {describe(self.columns)}.",
                errors,
                wants=describe(self.columns),
            )
        return given

    def _frame(self, given: Mapping[str, Values], rows: int) -> pd.DataFrame:
        converted: dict[str, NDArray[Any] | list[Any]] = {}
        errors: list[FieldError] = []
        for column in self.columns:
            name = column.name or ""
            if name not in given and not self.fill_optional:
                continue
            try:
                converted[name] = convert(given.get(name, [None] * rows), column.type)
            except Mistyped as error:
                errors.append(FieldError(f"inputs.{name}", str(error)))
        if errors:
            raise WrongInputs(_mistyped(errors), errors, wants=describe(self.columns))
        return self._assembled(converted)

    def _assembled(self, converted: Mapping[str, NDArray[Any] | list[Any]]) -> pd.DataFrame:
        labels = [column.label for column in self.columns if (column.name or "") in converted]
        types = {column.type for column in self.columns}
        if len(types) == 1 and types <= _UNIFORM and len(converted) == len(self.columns):
            # A frame of one block is made, and read by the model, many times faster than one of many columns.
            return pd.DataFrame(np.stack(list(converted.values())).T, columns=labels, copy=False)
        return pd.DataFrame(dict(zip(labels, converted.values(), strict=True)))


@dataclass(frozen=True, slots=True)
class PlainColumns:
    """Typed columns without names: a signature inferred from a list. The order given counts."""

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
    return "any value" if wanted in (None, ColumnType.NESTED) else wanted.value


def describe(columns: Sequence[Column]) -> str:
    """The wanted columns in one line: ``age (long), name (string, optional)``."""
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


def _mistyped(errors: Sequence[FieldError]) -> str:
    said = "; ".join(f"{error.field.removeprefix('inputs.')} {error.detail}" for error in errors[:_LISTED])
    return f"Wrong {'type' if len(errors) == 1 else 'types'}: {said}."
