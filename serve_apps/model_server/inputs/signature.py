"""A model's signature, read from its MLmodel file without MLflow."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from serve_apps.model_server.inputs.column_type import ColumnType
from serve_apps.model_server.inputs.training_table import TrainedColumn

_NESTED: Final = ("array", "map", "object")


@dataclass(frozen=True, slots=True)
class Column:
    name: str | None
    type: ColumnType | None
    """None: unknown, values are passed unchanged."""
    required: bool = True
    number: int | None = None
    """Label in a frame if it is a number: columns of a frame made from an array have numbers."""
    is_array: bool = False
    """True for a NESTED column of arrays."""
    nested: Mapping[str, Any] | None = None
    """The signature's description of a NESTED column."""
    trained: TrainedColumn | None = None
    """Column of the training table; None if only the signature is known, and for a Python function."""

    @property
    def label(self) -> str | int | None:
        """Label of the column in a frame."""
        return self.name if self.number is None else self.number


@dataclass(frozen=True, slots=True)
class Tensor:
    name: str | None
    dtype: str
    """NumPy's name, e.g. ``float64``."""
    shape: tuple[int, ...]
    """-1: any length."""

    @property
    def label(self) -> str | None:
        """Label, as ``Column.label``."""
        return self.name


@dataclass(frozen=True, slots=True)
class Parameter:
    name: str
    type: ColumnType
    default: Any
    is_list: bool = False


@dataclass(frozen=True, slots=True)
class Signature:
    """A model's signature. Inputs are columns or tensors, never both; empty if not stated."""

    columns: tuple[Column, ...] = ()
    tensors: tuple[Tensor, ...] = ()
    output_columns: tuple[Column, ...] = ()
    output_tensors: tuple[Tensor, ...] = ()
    params: tuple[Parameter, ...] | None = None
    """None: no parameters."""
    from_type_hint: bool = False
    """True if made from the type hint of ``PythonModel.predict``: inputs go to the model unchanged."""


def parse_signature(mlmodel: Mapping[str, Any]) -> Signature | None:
    """Signature in a parsed MLmodel file; None if it has none."""
    raw = mlmodel.get("signature")
    if not raw:
        return None
    columns, tensors = _fields(raw.get("inputs"))
    output_columns, output_tensors = _fields(raw.get("outputs"))
    params = json.loads(raw["params"]) if raw.get("params") else None
    return Signature(
        columns=columns,
        tensors=tensors,
        output_columns=output_columns,
        output_tensors=output_tensors,
        params=None if params is None else tuple(_parameter(entry) for entry in params),
        from_type_hint=bool(mlmodel.get("is_signature_from_type_hint") or raw.get("is_signature_from_type_hint")),
    )


def _fields(text: str | None) -> tuple[tuple[Column, ...], tuple[Tensor, ...]]:
    entries: list[dict[str, Any]] = json.loads(text) if text else []
    columns = tuple(_column(entry) for entry in entries if entry["type"] != "tensor")
    tensors = tuple(
        Tensor(entry.get("name"), entry["tensor-spec"]["dtype"], tuple(entry["tensor-spec"]["shape"]))
        for entry in entries
        if entry["type"] == "tensor"
    )
    return columns, tensors


def _column(entry: dict[str, Any]) -> Column:
    name = entry.get("name")
    return Column(
        None if name is None else str(name),
        ColumnType.of(entry["type"]),
        entry.get("required", not entry.get("optional", False)),
        number=name if isinstance(name, int) else None,
        is_array=entry["type"] == "array",
        nested=entry if entry["type"] in _NESTED else None,
    )


def _parameter(entry: dict[str, Any]) -> Parameter:
    return Parameter(entry["name"], ColumnType.of(entry["type"]), entry.get("default"), entry.get("shape") is not None)
