"""Schemas of models that take one array, or several by name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from raylift.domain.errors import FieldError
from serve_apps.model_server.errors import WrongInputs
from serve_apps.model_server.inputs.signature import Column, Tensor
from serve_apps.model_server.inputs.tabular import Columns, Inputs, Rows, require_table, width_of, wrong_count
from serve_apps.model_server.inputs.values import Mistyped, Values, is_missing, natural_array, to_dtype


@dataclass(frozen=True, slots=True)
class PlainArray:
    """One array. Columns by name are taken in the order given."""

    dtype: np.dtype[Any] | None
    """None: numbers become float64, other values stay as they are."""
    shape: tuple[int, ...]
    columns: tuple[Column, ...] = ()
    missing: Any = None
    """Value for missing entries of an object array."""

    @property
    def tensors(self) -> Sequence[Tensor]:
        return (Tensor(None, str(self.dtype or np.dtype(np.float64)), self.shape),)

    def batch(self, inputs: Inputs, *, ignore_unexpected: bool = False) -> NDArray[Any]:
        inputs = require_table(inputs)
        if len(self.shape) == 1:
            inputs = _single_values(inputs)
        if isinstance(inputs, Columns):
            self._check_width(len(inputs.values))
            return np.column_stack([self._typed(values, f"inputs.{name}") for name, values in inputs.values.items()])
        values = inputs.values
        if isinstance(values, np.ndarray) and values.ndim == 1 and self.shape[1:] == (1,):
            values = values.reshape(-1, 1)
        array = natural_array(values)
        if array is None:
            return self._mixed(values)
        self._check_width(width_of(array))
        if not _fits(array.shape[1:], self.shape[1:]):
            detail = f"wants the shape {list(self.shape)}, got {list(array.shape)}"
            raise WrongInputs(f"The model {detail}.", [FieldError("inputs", detail)])
        return self._typed(array.reshape(-1), "inputs").reshape(array.shape)

    def _mixed(self, rows: Sequence[Any] | NDArray[Any]) -> NDArray[Any]:
        """Array of rows with text, nulls or booleans."""
        if len(self.shape) == 1 and not any(isinstance(row, (list, tuple, np.ndarray)) for row in rows):
            return self._typed(rows, "inputs")
        self._check_width(width_of(rows))
        if len(self.shape) != 2 or any(not isinstance(row, (list, tuple, np.ndarray)) for row in rows):
            detail = f"wants the shape {list(self.shape)}"
            raise WrongInputs(f"The model {detail}.", [FieldError("inputs", detail)])
        columns = list(zip(*rows, strict=True))
        return np.column_stack([self._typed(values, f"inputs[*][{index}]") for index, values in enumerate(columns)])

    def _check_width(self, width: int) -> None:
        if len(self.shape) == 2 and self.shape[1] not in (-1, width):
            raise wrong_count(self.shape[1], width)

    def _typed(self, values: Values, field: str) -> NDArray[Any]:
        try:
            typed = to_dtype(values, self.dtype or _default_dtype(values))
        except Mistyped as error:
            raise WrongInputs(f"{field} {error}.", [FieldError(field, str(error))]) from None
        if typed.dtype == object and self.missing is not None:
            typed[[is_missing(value) for value in typed]] = self.missing
        return typed


@dataclass(frozen=True, slots=True)
class NamedTensors:
    """Several named tensors, or one."""

    tensors: tuple[Tensor, ...]
    columns: tuple[Column, ...] = ()

    def batch(self, inputs: Inputs, *, ignore_unexpected: bool = False) -> dict[str, NDArray[Any]]:
        inputs = require_table(inputs)
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


def _single_values(inputs: Rows | Columns) -> Rows | Columns:
    """Rows of one value each, also if given as a table of one column."""
    if isinstance(inputs, Columns):
        return Rows(next(iter(inputs.values.values()))) if len(inputs.values) == 1 else inputs
    rows = inputs.values
    if isinstance(rows, np.ndarray):
        return Rows(rows.reshape(-1)) if rows.shape[1:] == (1,) else inputs
    is_table = all(isinstance(row, (list, tuple)) and len(row) == 1 for row in rows)
    return Rows([row[0] for row in rows]) if is_table else inputs


def _default_dtype(values: Values) -> np.dtype[Any]:
    if isinstance(values, np.ndarray) and values.dtype.kind in "biuf":
        return np.dtype(np.float64)
    # Numbers and nulls become float64. With text among them the model decides.
    return np.dtype(object if any(isinstance(value, (str, bytes, list, dict)) for value in values) else np.float64)


def _tensor_names(tensors: Sequence[Tensor]) -> str:
    return ", ".join(f"{tensor.name} {list(tensor.shape)} {tensor.dtype}" for tensor in tensors)


def _tensor(values: Any, tensor: Tensor) -> NDArray[Any]:
    field = f"inputs.{tensor.name}"
    try:
        array = np.asarray(values)
        typed = to_dtype(array.reshape(-1), np.dtype(tensor.dtype)).reshape(array.shape)
    except (Mistyped, ValueError) as error:
        raise WrongInputs(f"The tensor {tensor.name} {error}.", [FieldError(field, str(error))]) from None
    if not _fits(typed.shape, tensor.shape):
        detail = f"wants shape {list(tensor.shape)}, got {list(typed.shape)}"
        raise WrongInputs(f"The tensor {tensor.name} {detail}.", [FieldError(field, detail)])
    return typed


def _fits(shape: Sequence[int], wanted: Sequence[int]) -> bool:
    return len(shape) == len(wanted) and all(want in (-1, has) for want, has in zip(wanted, shape, strict=True))
