"""Inputs as a protocol has them: rows by position, columns by name, or neither."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from raylift.domain.errors import FieldError
from serve_apps.model_server.errors import WrongInputs
from serve_apps.model_server.inputs.values import Values

_NAMES_LISTED: Final = 20


@dataclass(frozen=True, slots=True)
class Rows:
    """Values by position: a list of rows, or an array with the rows on its first axis."""

    values: Sequence[Any] | NDArray[Any]

    def __len__(self) -> int:
        return len(self.values)


@dataclass(frozen=True, slots=True)
class Columns:
    """Columns by name, all of one length."""

    values: Mapping[str, Values]

    def __len__(self) -> int:
        return len(next(iter(self.values.values()), ()))


@dataclass(frozen=True, slots=True)
class Raw:
    """Inputs that are no table and go to the model unchanged."""

    value: Any


Inputs = Rows | Columns | Raw


def from_columns(columns: Mapping[str, Any]) -> Columns:
    """``{name: [values]}``, or ``{name: value}`` for one row.

    Raises:
        WrongInputs: The columns have different lengths, or are values and lists.
    """
    if any(isinstance(values, np.ndarray) and values.ndim == 0 for values in columns.values()):
        # MLflow writes one value as an array without dimensions.
        columns = {name: values[()] if isinstance(values, np.ndarray) else values for name, values in columns.items()}
    lists = {name: isinstance(values, (list, np.ndarray)) for name, values in columns.items()}
    if not any(lists.values()):
        return Columns({name: [value] for name, value in columns.items()})
    if not all(lists.values()):
        errors = [
            FieldError(f"inputs.{name}", "a single value beside columns that are lists")
            for name, is_list in lists.items()
            if not is_list
        ]
        raise WrongInputs("Either every column is a list of values, or every column is one value.", errors)
    lengths = {name: len(values) for name, values in columns.items()}
    if len(set(lengths.values())) > 1:
        errors = [FieldError(f"inputs.{name}", f"{length} values") for name, length in lengths.items()]
        raise WrongInputs(f"The columns are of unequal lengths: {_listed(lengths)}.", errors)
    return Columns(columns)


def from_records(records: Sequence[Mapping[str, Any]]) -> Columns:
    """``[{name: value}]`` as columns, in the order of the first record. A missing field is None."""
    names = list(dict.fromkeys(name for record in records for name in record))
    return Columns({name: [record.get(name) for record in records] for name in names})


def refuse_ragged(records: Sequence[Any]) -> None:
    """Check that all records have the fields of the first.

    Raises:
        WrongInputs: One is no object, or lacks a field, or has another.
    """
    wanted = set(records[0])
    for row, record in enumerate(records):
        if not isinstance(record, dict):
            raise WrongInputs(
                "Rows and records cannot be mixed.", [FieldError(f"inputs[{row}]", "wants an object like the first")]
            )
        if record.keys() != wanted:
            errors = [
                FieldError(f"inputs[{row}].{name}", "missing, the first record has it")
                for name in records[0]
                if name not in record
            ]
            errors += [
                FieldError(f"inputs[{row}].{name}", "unexpected, the first record does not have it")
                for name in record
                if name not in wanted
            ]
            raise WrongInputs(f"Record {row} has other fields than the first.", errors)


def from_rows(rows: Sequence[Any]) -> Rows:
    """Check that rows are lists of one length.

    Raises:
        WrongInputs: One is no list, or their lengths differ.
    """
    if not any(isinstance(row, list) for row in rows):
        hint = f"Write one row as [[{', '.join('…' for _ in rows[:3])}]]."
        raise WrongInputs(
            f"The inputs are a flat list, and a list of rows is wanted. {hint}",
            [FieldError("inputs", "wants rows: a list of lists")],
        )
    width = len(rows[0]) if isinstance(rows[0], list) else -1
    for row, values in enumerate(rows):
        if not isinstance(values, list):
            raise WrongInputs(
                "The inputs are a list of rows, and not all of them are lists.",
                [FieldError(f"inputs[{row}]", "wants a list of values")],
            )
        if len(values) != width:
            detail = f"{len(values)} values, the first row has {width}"
            raise WrongInputs(
                f"The rows are of unequal lengths: row {row} has {detail}.", [FieldError(f"inputs[{row}]", detail)]
            )
    return Rows(rows)


def require_table(inputs: Inputs) -> Rows | Columns:
    """Return inputs that are a table with at least one row.

    Raises:
        WrongInputs: They are no table, or have no rows.
    """
    if isinstance(inputs, Raw):
        raise not_tabular()
    if len(inputs) == 0:
        raise WrongInputs("The inputs have no rows.", [FieldError("inputs", "wants at least one row")])
    return inputs


def wrong_count(wants: int, got: int, names: Sequence[str] = ()) -> WrongInputs:
    """Error of inputs with a wrong number of features."""
    plural = "feature" if wants == 1 else "features"
    listed = f" ({', '.join(names[:_NAMES_LISTED])}{', …' if len(names) > _NAMES_LISTED else ''})" if names else ""
    return WrongInputs(
        f"The model wants {wants} {plural}{listed}, got {got}.",
        [FieldError("inputs", f"wants {wants} {plural}, got {got}")],
        wants=wants,
    )


def not_tabular() -> WrongInputs:
    return WrongInputs("The inputs are neither columns, records nor rows.", [FieldError("inputs", "wants an object or a list")])


def width_of(values: Sequence[Any] | NDArray[Any]) -> int:
    """Number of values in a row."""
    if isinstance(values, np.ndarray):
        return int(values.shape[1]) if values.ndim > 1 else 1
    return len(values[0]) if isinstance(values[0], (list, tuple)) else 1


def _listed(lengths: Mapping[str, int]) -> str:
    shown = [f"{name} has {length}" for name, length in list(lengths.items())[:8]]
    return ", ".join(shown) + (", …" if len(lengths) > 8 else "")
