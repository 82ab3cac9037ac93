"""MLflow's column types."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Any, Final

import numpy as np


class ColumnType(StrEnum):
    """MLflow's column types. NESTED means array, object, map and any: values are passed unchanged."""

    BOOLEAN = "boolean"
    INTEGER = "integer"
    LONG = "long"
    FLOAT = "float"
    DOUBLE = "double"
    STRING = "string"
    BINARY = "binary"
    DATETIME = "datetime"
    NESTED = "nested"

    @classmethod
    def of(cls, name: str) -> ColumnType:
        """Type by its name in a signature; NESTED for array, object, map and any."""
        try:
            return cls(name)
        except ValueError:
            return cls.NESTED


NUMPY_DTYPES: Final[Mapping[str, np.dtype[Any]]] = {
    ColumnType.BOOLEAN: np.dtype(np.bool_),
    ColumnType.INTEGER: np.dtype(np.int32),
    ColumnType.LONG: np.dtype(np.int64),
    ColumnType.FLOAT: np.dtype(np.float32),
    ColumnType.DOUBLE: np.dtype(np.float64),
}
"""NumPy's types of booleans and numbers; other column types have none."""
NUMBERS: Final = NUMPY_DTYPES.keys() - {ColumnType.BOOLEAN}
LARGEST_EXACT: Final = 2**53
"""Up to here float64 holds every integer."""
