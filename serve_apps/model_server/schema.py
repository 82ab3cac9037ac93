"""What a model wants, and the one way from inputs to the batch it is given.

Four shapes: named columns (a signature with columns, or a model trained on a frame), a plain array (trained on one),
named tensors (a signature with several), and anything (a pyfunc model that says nothing).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from raylift.domain.errors import FieldError
from serve_apps.model_server.conversion import Mistyped, Values, convert, to_dtype
from serve_apps.model_server.errors import WrongInputs
from serve_apps.model_server.inputs import Columns, Inputs, Raw, Rows
from serve_apps.model_server.predictors.base import Batch, Features
from serve_apps.model_server.signature import Column, ColumnType, Signature, Tensor

_UNIFORM: Final = frozenset({ColumnType.DOUBLE, ColumnType.FLOAT, ColumnType.LONG, ColumnType.INTEGER, ColumnType.BOOLEAN})
_LISTED: Final = 20


class Schema(Protocol):
    """What a model wants."""

    @property
    def columns(self) -> Sequence[Column]:
        """The wanted columns, empty where names mean nothing."""
        ...

    @property
    def tensors(self) -> Sequence[Tensor]:
        """The wanted tensors, empty where columns are wanted."""
        ...

    def batch(self, inputs: Inputs, *, ignore_unexpected: bool = False) -> Batch:
        """The inputs as the model takes them.

        Raises:
            WrongInputs: They are not what the model wants; every wrong column is named.
        """
        ...


def schema_of(signature: Signature | None, features: Features, *, is_native: bool) -> Schema:
    """What a model wants, from its signature and from what it remembers of its training."""
    if signature is not None and signature.from_type_hint:
        return Anything()
    if signature is not None and any(column.name is not None for column in signature.columns):
        return NamedColumns(signature.columns, fill_optional=is_native)
    if signature is not None and any(tensor.name is not None for tensor in signature.tensors):
        return NamedTensors(signature.tensors)
    if features.names is not None:
        return NamedColumns(tuple(Column(name, None) for name in features.names), spelling=features.spelling)
    if signature is not None and signature.tensors:
        tensor = signature.tensors[0]
        shape = (-1, features.count) if features.count and len(tensor.shape) == 2 else tensor.shape
        return PlainArray(np.dtype(tensor.dtype), shape)
    if signature is not None and signature.columns:
        return PlainColumns(signature.columns)
    if is_native:
        return PlainArray(None, (-1, -1 if features.count is None else features.count))
    return Anything()


def refuse_empty(inputs: Rows | Columns) -> None:
    if len(inputs) == 0:
        raise WrongInputs("The inputs have no rows.", [FieldError("inputs", "wants at least one row")])


@dataclass(frozen=True, slots=True)
class NamedColumns:
    """Columns found by name; their order in the request is of no matter. Rows by position are taken in the model's order."""

    columns: tuple[Column, ...]
    fill_optional: bool = False
    """Give the model a column of missing values for an optional one that is not there."""
    spelling: Callable[[str], str] = str
    """How the model spells a column's name."""
    tensors: tuple[Tensor, ...] = ()

    def batch(self, inputs: Inputs, *, ignore_unexpected: bool = False) -> Batch:
        if isinstance(inputs, Raw):
            raise _not_tabular()
        refuse_empty(inputs)
        if isinstance(inputs, Rows):
            given = self._by_position(inputs)
        else:
            given = self._by_name(inputs, ignore_unexpected=ignore_unexpected)
        return self._frame(given, len(inputs))

    def _by_position(self, rows: Rows) -> Mapping[str, Values]:
        array = rows.values if isinstance(rows.values, np.ndarray) else None
        width = _width(array if array is not None else rows.values)
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
        types = {column.type for column in self.columns}
        if len(types) == 1 and types <= _UNIFORM and len(converted) == len(self.columns):
            # A frame of one block is made, and read by the model, many times faster than one of many columns.
            return pd.DataFrame(np.column_stack(list(converted.values())), columns=list(converted), copy=False)
        return pd.DataFrame(dict(converted))


@dataclass(frozen=True, slots=True)
class PlainArray:
    """One array. Columns given by name are taken in the order given."""

    dtype: np.dtype[Any] | None
    """None: numbers become float64, anything else goes as it is."""
    shape: tuple[int, ...]
    columns: tuple[Column, ...] = ()

    @property
    def tensors(self) -> Sequence[Tensor]:
        return (Tensor(None, str(self.dtype or np.dtype(np.float64)), self.shape),)

    def batch(self, inputs: Inputs, *, ignore_unexpected: bool = False) -> Batch:
        if isinstance(inputs, Raw):
            raise _not_tabular()
        refuse_empty(inputs)
        if isinstance(inputs, Columns):
            self._check_width(len(inputs.values))
            return np.column_stack([self._typed(values, f"inputs.{name}") for name, values in inputs.values.items()])
        if isinstance(inputs.values, np.ndarray) and inputs.values.dtype.kind in "biuf":
            array = inputs.values
        else:
            array = _numbers(inputs.values)
        if array is None:
            return self._from_mixed(inputs)
        self._check_width(_width(array))
        if array.ndim != len(self.shape) or any(
            want not in (-1, has) for want, has in zip(self.shape[1:], array.shape[1:], strict=True)
        ):
            raise WrongInputs(
                f"The model wants the shape {list(self.shape)}, got {list(array.shape)}.",
                [FieldError("inputs", f"wants shape {list(self.shape)}")],
            )
        return self._typed(array.reshape(-1), "inputs").reshape(array.shape)

    def _from_mixed(self, rows: Rows) -> NDArray[Any]:
        width = _width(rows.values)
        self._check_width(width)
        columns = list(zip(*rows.values, strict=True))
        return np.column_stack([self._typed(values, f"inputs[*][{index}]") for index, values in enumerate(columns)])

    def _check_width(self, width: int) -> None:
        if len(self.shape) == 2 and self.shape[1] not in (-1, width):
            raise wrong_count(self.shape[1], width)

    def _typed(self, values: Values, field: str) -> NDArray[Any]:
        try:
            return to_dtype(values, self.dtype or _guessed(values))
        except Mistyped as error:
            raise WrongInputs(f"{field} {error}.", [FieldError(field, str(error))]) from None


@dataclass(frozen=True, slots=True)
class PlainColumns:
    """Typed columns without names: a signature inferred from a list. The order given counts."""

    columns: tuple[Column, ...]
    tensors: tuple[Tensor, ...] = ()

    def batch(self, inputs: Inputs, *, ignore_unexpected: bool = False) -> Batch:
        numbered = NamedColumns(tuple(Column(str(index), column.type) for index, column in enumerate(self.columns)))
        if isinstance(inputs, Columns):
            if len(inputs.values) != len(self.columns):
                raise wrong_count(len(self.columns), len(inputs.values))
            inputs = Columns({str(index): values for index, values in enumerate(inputs.values.values())})
        frame = numbered.batch(inputs, ignore_unexpected=ignore_unexpected)
        frame.columns = range(len(self.columns))
        return frame


@dataclass(frozen=True, slots=True)
class NamedTensors:
    """Several tensors by name, or one that has a name."""

    tensors: tuple[Tensor, ...]
    columns: tuple[Column, ...] = ()

    def batch(self, inputs: Inputs, *, ignore_unexpected: bool = False) -> Batch:
        if isinstance(inputs, Raw):
            raise _not_tabular()
        refuse_empty(inputs)
        if isinstance(inputs, Rows):
            if len(self.tensors) != 1:
                raise WrongInputs(f"The model wants {len(self.tensors)} tensors by name: {_tensor_names(self.tensors)}.")
            given: Mapping[str, Any] = {str(self.tensors[0].name): inputs.values}
        else:
            given = inputs.values
        names = {str(tensor.name) for tensor in self.tensors}
        errors = [FieldError(f"inputs.{name}", "missing") for name in sorted(names - given.keys())]
        if not ignore_unexpected:
            errors += [
                FieldError(f"inputs.{name}", "unexpected, the model has no such tensor") for name in given if name not in names
            ]
        if errors:
            raise WrongInputs(f"The model wants the tensors {_tensor_names(self.tensors)}.", errors)
        return {str(tensor.name): _tensor(given[str(tensor.name)], tensor) for tensor in self.tensors}


@dataclass(frozen=True, slots=True)
class Anything:
    """The model says nothing of its inputs: columns become a frame, rows an array."""

    columns: tuple[Column, ...] = ()
    tensors: tuple[Tensor, ...] = ()

    def batch(self, inputs: Inputs, *, ignore_unexpected: bool = False) -> Batch:
        if isinstance(inputs, Raw):
            return inputs.value
        refuse_empty(inputs)
        if isinstance(inputs, Columns):
            return pd.DataFrame({name: list(values) for name, values in inputs.values.items()})
        return np.asarray(inputs.values)


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


def wrong_count(wants: int, got: int, names: Sequence[str] = ()) -> WrongInputs:
    """The error that says how many features are wanted."""
    plural = "feature" if wants == 1 else "features"
    listed = f": {', '.join(names[:_LISTED])}{', …' if len(names) > _LISTED else ''}" if names else ""
    return WrongInputs(
        f"The model wants {wants} {plural}, got {got}{listed}.",
        [FieldError("inputs", f"wants {wants} {plural}, got {got}")],
        wants=wants,
    )


def _not_tabular() -> WrongInputs:
    return WrongInputs("The inputs are neither columns, records nor rows.", [FieldError("inputs", "wants an object or a list")])


def _width(values: Sequence[Any] | NDArray[Any]) -> int:
    if isinstance(values, np.ndarray):
        return int(values.shape[1]) if values.ndim > 1 else 1
    return len(values[0]) if isinstance(values[0], (list, tuple)) else 1


def _numbers(rows: Sequence[Any] | NDArray[Any]) -> NDArray[Any] | None:
    """The rows as one array of numbers, None when they are something else."""
    try:
        array = np.asarray(rows)
    except ValueError:  # ragged below the first level
        return None
    return array if array.dtype.kind in "biuf" else None


def _guessed(values: Values) -> np.dtype[Any]:
    if isinstance(values, np.ndarray):
        return np.dtype(np.float64 if values.dtype.kind in "biuf" else object)
    # Numbers and nulls are float64; a text among them makes it the model's business.
    return np.dtype(object if any(isinstance(value, (str, bytes, list, dict)) for value in values) else np.float64)


def _named(what: str, names: Sequence[str]) -> str:
    if not names:
        return ""
    shown = ", ".join(names[:_LISTED]) + (f" and {len(names) - _LISTED} more" if len(names) > _LISTED else "")
    return f"{what} {'column' if len(names) == 1 else 'columns'}: {shown}."


def _mistyped(errors: Sequence[FieldError]) -> str:
    said = "; ".join(f"{error.field.removeprefix('inputs.')} {error.detail}" for error in errors[:_LISTED])
    return f"Wrong {'type' if len(errors) == 1 else 'types'}: {said}."


def _tensor_names(tensors: Sequence[Tensor]) -> str:
    return ", ".join(f"{tensor.name} {list(tensor.shape)} {tensor.dtype}" for tensor in tensors)


def _tensor(values: Any, tensor: Tensor) -> NDArray[Any]:
    field = f"inputs.{tensor.name}"
    try:
        array = np.asarray(values)
        typed = to_dtype(array.reshape(-1), np.dtype(tensor.dtype)).reshape(array.shape)
    except (Mistyped, ValueError) as error:
        raise WrongInputs(f"The tensor {tensor.name} {error}.", [FieldError(field, str(error))]) from None
    if typed.ndim != len(tensor.shape) or any(
        want not in (-1, has) for want, has in zip(tensor.shape, typed.shape, strict=True)
    ):
        detail = f"wants shape {list(tensor.shape)}, got {list(typed.shape)}"
        raise WrongInputs(f"The tensor {tensor.name} {detail}.", [FieldError(field, detail)])
    return typed
