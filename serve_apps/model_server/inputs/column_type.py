"""MLflow's types of columns."""

from __future__ import annotations

from enum import StrEnum


class ColumnType(StrEnum):
    """MLflow's column types. NESTED stands for arrays, objects, maps and any, which are handed on as they come."""

    BOOLEAN = "boolean"
    INTEGER = "integer"
    LONG = "long"
    FLOAT = "float"
    DOUBLE = "double"
    STRING = "string"
    BINARY = "binary"
    DATETIME = "datetime"
    NESTED = "nested"
