"""Datatypes of the Open Inference Protocol and their NumPy types."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import numpy as np

from serve_apps.model_server.inputs.column_type import ColumnType

DTYPES: Final[Mapping[str, np.dtype[Any]]] = {
    "BOOL": np.dtype(np.bool_),
    "FP16": np.dtype(np.float16),
    "FP32": np.dtype(np.float32),
    "FP64": np.dtype(np.float64),
    # NumPy has no bfloat16. float32 holds all its values.
    "BF16": np.dtype(np.float32),
    "BYTES": np.dtype(object),
} | {f"{sign}INT{bits}": np.dtype(f"{sign.lower()}int{bits}") for sign in ("", "U") for bits in (8, 16, 32, 64)}

OF_COLUMN: Final[Mapping[ColumnType, str]] = {
    ColumnType.BOOLEAN: "BOOL",
    ColumnType.INTEGER: "INT32",
    ColumnType.LONG: "INT64",
    ColumnType.FLOAT: "FP32",
    ColumnType.DOUBLE: "FP64",
}
"""Datatypes of columns. Other columns are BYTES."""

_NAMES: Final[Mapping[np.dtype[Any], str]] = {kind: name for name, kind in DTYPES.items() if name != "BF16"}


def name_of(dtype: np.dtype[Any]) -> str:
    """Datatype of a NumPy type; BYTES if the protocol has none."""
    return _NAMES.get(dtype.newbyteorder("="), "BYTES")
