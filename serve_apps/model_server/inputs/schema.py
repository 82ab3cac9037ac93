"""What a model wants, and the one way from inputs to the batch it is given.

Four shapes: columns (a signature with columns, or a model trained on a frame), one array (a model trained on one), several
tensors by name, and anything (a Python function that says nothing).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from raylift.domain.errors import FieldError
from serve_apps.model_server.errors import WrongInputs
from serve_apps.model_server.inputs.array import NamedTensors, PlainArray
from serve_apps.model_server.inputs.dataframe import NamedColumns, PlainColumns
from serve_apps.model_server.inputs.signature import Column, Signature, Tensor
from serve_apps.model_server.inputs.tabular import Columns, Inputs, Raw, refuse_empty
from serve_apps.model_server.predictors.base import Batch, Features


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
        return PlainArray(np.dtype(str) if features.is_text else None, (-1, -1 if features.count is None else features.count))
    return Anything()


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
        return _rows(inputs.values)


def _rows(rows: Sequence[Any] | NDArray[Any]) -> NDArray[Any]:
    """Rows as an array; numbers beside text stay numbers."""
    try:
        array = np.asarray(rows)
    except ValueError:
        detail = "rows hold lists of unequal lengths"
        raise WrongInputs(f"The inputs are no array: {detail}.", [FieldError("inputs", detail)]) from None
    if array.dtype.kind != "U" or isinstance(rows, np.ndarray):
        return array
    objects = np.array(rows, dtype=object)
    return array if all(isinstance(value, str) for value in objects.flat) else objects
