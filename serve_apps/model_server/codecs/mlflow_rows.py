"""Rows of plain numbers in MLflow's scoring formats, read without a frame."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from numpy.typing import NDArray

from serve_apps.model_server.inputs.column_reader import ColumnReader
from serve_apps.model_server.inputs.fast_reader import ArrayReader
from serve_apps.model_server.model import Model


def fast_rows(form: str, payload: Any, params: Mapping[str, Any], model: Model) -> NDArray[Any] | None:
    """Rows of plain numbers as an array, in one step; None for other inputs, which become a frame first, as in MLflow."""
    reader = model.reader
    if reader is None:
        return None
    if form == "dataframe_split":
        payload = _rows_of_split(payload, reader)
    elif form == "dataframe_records" and not isinstance(payload, list):
        return None
    # For one named column, a list of rows looks like a list of its values.
    is_list_of_values = isinstance(payload, list) and reader.width == 1 and form in ("instances", "inputs")
    # MLflow makes one array of the other formats, so that numbers beside text become text.
    is_one_array = isinstance(reader, ColumnReader) and form not in ("dataframe_split", "dataframe_records")
    return None if is_list_of_values or is_one_array else model.read(payload, params)


def _rows_of_split(payload: Any, reader: ArrayReader | ColumnReader) -> list[Any] | None:
    if not isinstance(payload, dict) or not payload.keys() <= {"columns", "data", "index"}:
        return None
    rows, columns, index = payload.get("data"), payload.get("columns"), payload.get("index")
    if not isinstance(rows, list) or not (index is None or (isinstance(index, list) and len(index) == len(rows))):
        return None
    if rows and isinstance(rows[0], dict):
        return None
    if reader.names is None:
        is_each_once = isinstance(columns, list) and len({str(name) for name in columns}) == len(columns) == reader.width
        return rows if columns is None or is_each_once else None
    return rows if columns is None or columns == list(reader.names) else None
