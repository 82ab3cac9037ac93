"""Schema of a version's inputs: turns inputs into the model's batch.

There are columns (a signature with columns, or training on a frame), one array, named tensors, and anything (a Python function
without a signature). documents.py has those of models that take no table.
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
from serve_apps.model_server.inputs.features import Batch, Features
from serve_apps.model_server.inputs.resolution import assumed, resolve_columns
from serve_apps.model_server.inputs.signature import Column, Signature, Tensor
from serve_apps.model_server.inputs.tabular import Columns, Inputs, Raw, require_table
from serve_apps.model_server.inputs.training_table import MISSING, TrainingTable


class Schema(Protocol):
    """Schema of a version's inputs."""

    @property
    def columns(self) -> Sequence[Column]:
        """Wanted columns; empty if names have no meaning."""
        ...

    @property
    def tensors(self) -> Sequence[Tensor]:
        """Wanted tensors; empty if columns are wanted."""
        ...

    def batch(self, inputs: Inputs, *, ignore_unexpected: bool = False) -> Batch:
        """The inputs as the model takes them.

        Args:
            inputs: Of a request.
            ignore_unexpected: Drop columns that the model does not have.

        Raises:
            WrongInputs: They are not what the model wants; every wrong column is named.
        """
        ...


@dataclass(frozen=True, slots=True)
class Origin:
    """Source of a version's schema."""

    source: str
    """``training``, ``signature`` or ``input_example`` (the table seen there), ``model`` (the library's records),
    ``mlflow_signature``, or ``none``.
    """
    disagreements: tuple[str, ...] = ()
    """Sentences on what other sources say differently. The schema follows ``source``."""


def schema_of(
    signature: Signature | None, features: Features, *, is_native: bool, table: TrainingTable | None = None
) -> tuple[Schema, Origin]:
    """Schema of a model's inputs: from its training table, else the library's records, else the signature."""
    named = signature is not None and any(column.name is not None for column in signature.columns)
    if signature is not None and signature.from_type_hint:
        return Anything(), Origin("mlflow_signature")
    if is_native and (features.names is not None or (table is not None and table.columns)):
        return _of_columns(signature if named else None, features, table)
    if signature is not None and named:
        columns = tuple(map(assumed, signature.columns)) if is_native else signature.columns
        return NamedColumns(columns, fill_optional=is_native), Origin("mlflow_signature")
    if signature is not None and any(tensor.name is not None for tensor in signature.tensors):
        return NamedTensors(signature.tensors), Origin("mlflow_signature")
    if signature is not None and signature.columns:
        return PlainColumns(signature.columns), Origin("mlflow_signature")
    return _of_array(signature, features, table, is_native=is_native)


def _of_columns(signature: Signature | None, features: Features, table: TrainingTable | None) -> tuple[Schema, Origin]:
    resolved = resolve_columns(signature.columns if signature is not None else (), features, table)
    schema = NamedColumns(
        resolved.columns,
        fill_optional=True,
        spelling=features.spelling,
        ignored=resolved.ignored,
        refuses_unseen=features.refuses_unseen,
        aliases=resolved.aliases,
    )
    return schema, Origin(resolved.source, resolved.disagreements)


def _of_array(
    signature: Signature | None, features: Features, table: TrainingTable | None, *, is_native: bool
) -> tuple[Schema, Origin]:
    trained = table.array_dtype if table is not None and is_native else None
    if signature is not None and signature.tensors:
        tensor = signature.tensors[0]
        shape = (-1, features.count) if features.count and len(tensor.shape) == 2 else tensor.shape
        dtype = np.dtype(tensor.dtype)
        if trained is not None and trained.kind == dtype.kind == "f" and trained != dtype:
            disagreement = f"the signature says {dtype}, the model was trained on {trained}"
            return PlainArray(trained, shape), Origin("training", (disagreement,))
        return PlainArray(dtype, shape), Origin("mlflow_signature")
    if not is_native:
        return Anything(), Origin("none")
    shape = (-1, -1 if features.count is None else features.count)
    if trained is not None and table is not None and trained.kind in "fO":
        return PlainArray(trained, shape, missing=MISSING[table.array_missing]), Origin("training")
    return PlainArray(None, shape), Origin("none" if features.count is None else "model")


@dataclass(frozen=True, slots=True)
class Anything:
    """A model without a description of its inputs: columns become a frame, rows an array."""

    columns: tuple[Column, ...] = ()
    tensors: tuple[Tensor, ...] = ()

    def batch(self, inputs: Inputs, *, ignore_unexpected: bool = False) -> Batch:
        if isinstance(inputs, Raw):
            return inputs.value
        inputs = require_table(inputs)
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
