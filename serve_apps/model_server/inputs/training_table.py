"""Schema of a model's training table, from which requests' tables are built.

The job's hooks write it to a file beside the model (job_entrypoints/tracking/training_table.py). A library's own records of its
training take the same form (``Features.records``).
"""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import pandas as pd

from job_entrypoints.contract import REFERENCE_PROFILE_FILE, TRAINING_TABLE_FILE
from raylift.domain.monitoring.reference import Reference, parse_reference
from serve_apps.model_server.inputs.column_type import ColumnType

_log = logging.getLogger(__name__)

_TYPES: Final[Mapping[str, ColumnType]] = {
    "bool": ColumnType.BOOLEAN,
    "boolean": ColumnType.BOOLEAN,
    "float16": ColumnType.FLOAT,
    "float32": ColumnType.FLOAT,
    "Float32": ColumnType.FLOAT,
    "float64": ColumnType.DOUBLE,
    "Float64": ColumnType.DOUBLE,
    "str": ColumnType.STRING,
    "string": ColumnType.STRING,
    "string[python]": ColumnType.STRING,
    "string[pyarrow]": ColumnType.STRING,
    "uint32": ColumnType.LONG,
    "UInt32": ColumnType.LONG,
    **dict.fromkeys(("int64", "uint64", "Int64", "UInt64"), ColumnType.LONG),
    **dict.fromkeys((f"{kind}{bits}" for kind in ("int", "uint", "Int", "UInt") for bits in (8, 16)), ColumnType.INTEGER),
    **dict.fromkeys(("int32", "Int32"), ColumnType.INTEGER),
}
"""Column types by pandas' dtype. Other dtypes (sparse, pyarrow) have no type in any protocol."""
_OBJECTS: Final[Mapping[str, ColumnType]] = {
    "string": ColumnType.STRING,
    "boolean": ColumnType.BOOLEAN,
    "integer": ColumnType.LONG,
    "floating": ColumnType.DOUBLE,
    "mixed-integer-float": ColumnType.DOUBLE,
    "bytes": ColumnType.BINARY,
    "date": ColumnType.DATETIME,
    "datetime": ColumnType.DATETIME,
}
"""Column types by pandas' name for the values of an object column."""


MISSING: Final[Mapping[str | None, Any]] = {None: None, "None": None, "nan": np.nan, "NA": pd.NA, "NaT": pd.NaT}
"""Missing values by their word in the file."""


@dataclass(frozen=True, slots=True)
class TrainedColumn:
    """A column of a training table."""

    name: str | int
    dtype: str
    """Dtype as pandas writes it, e.g. ``int64``, ``str``, ``category``, ``datetime64[us, UTC]``."""
    missing: str | None = None
    """First missing value: ``None``, ``nan``, ``NA`` or ``NaT``; None if no value is missing."""
    values: str = "mixed"
    """Kind of an object column's values, as ``pandas.api.types.infer_dtype`` names it."""
    categories: pd.Index | None = None
    """Categories of a category column, in order."""
    ordered: bool = False

    @property
    def type(self) -> ColumnType | None:
        """The nearest MLflow column type; None if any value is allowed."""
        if self.dtype == "category":
            return None if self.categories is None else _type_of_categories(self.categories)
        if self.dtype == "object":
            return _OBJECTS.get(self.values)
        if self.dtype.startswith(("datetime64", "timestamp")):
            return ColumnType.DATETIME
        return _TYPES.get(self.dtype)


@dataclass(frozen=True, slots=True)
class TrainingTable:
    """Table of a training: columns, or one array."""

    source: str
    """``training`` (seen by ``fit``), ``signature`` (seen by ``infer_signature``) or ``input_example``."""
    columns: tuple[TrainedColumn, ...] = ()
    array_dtype: np.dtype[Any] | None = None
    array_missing: str | None = None
    """Missing value of an object array, as ``TrainedColumn.missing``."""
    numerics: Mapping[str, Any] | None = None
    """NumPy and BLAS kernels of the training process."""


def read_training_table(directory: Path) -> TrainingTable | None:
    """Read the table of a model; None for a model logged without the platform's hooks."""
    file = directory / TRAINING_TABLE_FILE
    if not file.is_file():
        return None
    try:
        return parse_training_table(json.loads(file.read_text(encoding="utf-8")))
    except (ValueError, KeyError, TypeError) as error:
        _log.warning("The training table %s is not read: %r", file.name, error)
        return None


def read_reference(directory: Path) -> Reference | None:
    """Read the reference profile of a model; None where it has none that is readable."""
    file = directory / REFERENCE_PROFILE_FILE
    if not file.is_file():
        return None
    try:
        return parse_reference(json.loads(file.read_text(encoding="utf-8")))
    except ValueError as error:
        _log.warning("The reference profile %s is not read: %r", file.name, error)
        return None


def parse_training_table(record: Mapping[str, Any]) -> TrainingTable:
    """Parse the content of a file.

    Raises:
        ValueError, KeyError, TypeError: The hooks did not write it.
    """
    array: Mapping[str, Any] = record.get("array") or {}
    dtype = np.dtype(array["dtype"]) if array else None
    return TrainingTable(
        source=record["source"],
        columns=tuple(_column(entry) for entry in record.get("columns") or ()),
        array_dtype=dtype,
        array_missing=array.get("missing"),
        numerics=record.get("numerics"),
    )


def _column(entry: Mapping[str, Any]) -> TrainedColumn:
    categories = _categories(entry["categories"], entry["categories_dtype"]) if "categories" in entry else None
    return TrainedColumn(
        name=entry["name"],
        dtype=entry["dtype"],
        missing=entry.get("missing"),
        values=entry.get("values", "mixed"),
        categories=categories,
        ordered=bool(entry.get("ordered", False)),
    )


def _categories(values: Sequence[Any], dtype: str) -> pd.Index:
    if dtype.startswith("interval"):
        closed: Any = dtype.rpartition(",")[2].strip(" ]")
        return pd.IntervalIndex.from_tuples([(left, right) for left, right in values], closed=closed)
    if dtype.startswith("datetime64"):
        return pd.DatetimeIndex(values).astype(dtype)
    return pd.Index(values, dtype=dtype)


def _type_of_categories(categories: pd.Index) -> ColumnType | None:
    dtype = categories.dtype
    if str(dtype) == "object":
        return _OBJECTS.get(pd.api.types.infer_dtype(categories, skipna=False))
    if isinstance(dtype, pd.IntervalDtype):
        return ColumnType.STRING
    return TrainedColumn("", str(dtype)).type
