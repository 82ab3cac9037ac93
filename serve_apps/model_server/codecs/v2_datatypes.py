"""The datatypes of the Open Inference Protocol, as NumPy's."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from serve_apps.model_server.inputs.column_type import ColumnType

DTYPES: Final[Mapping[str, np.dtype[Any]]] = MappingProxyType(
    {
        "BOOL": np.dtype(np.bool_),
        "FP16": np.dtype(np.float16),
        "FP32": np.dtype(np.float32),
        "FP64": np.dtype(np.float64),
        # NumPy has no bfloat16; all of its values are also float32's.
        "BF16": np.dtype(np.float32),
        "BYTES": np.dtype(object),
    }
    | {f"{sign}INT{bits}": np.dtype(f"{sign.lower()}int{bits}") for sign in ("", "U") for bits in (8, 16, 32, 64)}
)

OF_COLUMN: Final[Mapping[ColumnType, str]] = MappingProxyType(
    {
        ColumnType.BOOLEAN: "BOOL",
        ColumnType.INTEGER: "INT32",
        ColumnType.LONG: "INT64",
        ColumnType.FLOAT: "FP32",
        ColumnType.DOUBLE: "FP64",
    }
)
"""Columns of any other type are BYTES."""

_NAMES: Final[Mapping[np.dtype[Any], str]] = MappingProxyType({kind: name for name, kind in DTYPES.items() if name != "BF16"})


def name_of(dtype: np.dtype[Any]) -> str:
    """What the protocol calls a NumPy type; BYTES for those it has no word for."""
    return _NAMES.get(dtype.newbyteorder("="), "BYTES")


def datatype_of(array: NDArray[Any]) -> str:
    return name_of(array.dtype)
