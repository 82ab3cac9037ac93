"""The schema of the table that a model was trained on: what a version's requests are built from.

It is read from the file that the job's hooks wrote beside the model (job_entrypoints/tracking/training_table.py). A library's
own records of its training are put into the same words (``Features.records``).
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

from job_entrypoints.contract import TRAINING_TABLE_FILE
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
"""By pandas' name of a dtype. One that is not here, a sparse or a pyarrow one, has no type that a protocol could state."""
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
"""By pandas' name for the values of an object column."""


MISSING: Final[Mapping[str | None, Any]] = {None: None, "None": None, "nan": np.nan, "NA": pd.NA, "NaT": pd.NaT}
"""Missing values by the word that the file has for them."""


@dataclass(frozen=True, slots=True)
class TrainedColumn:
    """One column of a training table."""

    name: str | int
    dtype: str
    """pandas' name, e.g. ``int64``, ``str``, ``category``, ``datetime64[us, UTC]``."""
    missing: str | None = None
    """``None``, ``nan``, ``NA`` or ``NaT``: the missing value that was seen first; None where no value was missing."""
    values: str = "mixed"
    """Kind of an object column's values, as ``pandas.api.types.infer_dtype`` names it."""
    categories: pd.Index | None = None
    """Categories of a category column, in their order."""
    ordered: bool = False

    @property
    def type(self) -> ColumnType | None:
        """The nearest of MLflow's column types; None where any value may stand."""
        if self.dtype == "category":
            return None if self.categories is None else _type_of_categories(self.categories)
        if self.dtype == "object":
            return _OBJECTS.get(self.values)
        if self.dtype.startswith(("datetime64", "timestamp")):
            return ColumnType.DATETIME
        return _TYPES.get(self.dtype)


@dataclass(frozen=True, slots=True)
class TrainingTable:
    """The table of a training: columns, or one array."""

    source: str
    """``training`` (seen by ``fit``), ``signature`` (seen by ``infer_signature``) or ``input_example``."""
    columns: tuple[TrainedColumn, ...] = ()
    array_dtype: np.dtype[Any] | None = None
    array_missing: str | None = None
    """Missing value of an array of objects, as ``TrainedColumn.missing``."""
    numerics: Mapping[str, Any] | None = None
    """The NumPy and the BLAS kernels of the training's process."""


def read_training_table(directory: Path) -> TrainingTable | None:
    """Read the file beside a model; None for a model that was logged without the platform's hooks."""
    file = directory / TRAINING_TABLE_FILE
    if not file.is_file():
        return None
    try:
        return parse_training_table(json.loads(file.read_text(encoding="utf-8")))
    except (ValueError, KeyError, TypeError) as error:
        _log.warning("The training table %s is not read: %r", file.name, error)
        return None


def parse_training_table(record: Mapping[str, Any]) -> TrainingTable:
    """The table that a file describes.

    Raises:
        ValueError, KeyError, TypeError: It is not what the hooks write.
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
