"""Reads MLflow's scoring formats and casts values by the signature, as MLflow's server does before it enforces the rest."""

from __future__ import annotations

import base64
import re
from collections.abc import Iterable
from typing import Any, Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from raylift.domain.errors import FieldError, InvalidRequest
from serve_apps.model_server.inputs.column_type import NUMBERS, NUMPY_DTYPES, ColumnType
from serve_apps.model_server.inputs.schema import Schema
from serve_apps.model_server.inputs.signature import Column, Signature, Tensor
from serve_apps.model_server.model import Model

FORMATS: Final = ("dataframe_split", "dataframe_records", "instances", "inputs")

_WHOLE: Final = re.compile(r"[+-]?[0-9]{1,40}")
_NO_NAMES: Final = "The model's signature has no names: it wants one array or one value, and got an object."


class NotCompatible(ValueError):
    """The payload is not of its format, or a value cannot be cast."""


def parse_payload(form: str, payload: Any, signature: Signature | None) -> Any:
    """Read a payload as a frame, an array, a dict of arrays or a list of records.

    Raises:
        NotCompatible: It is not of its format, or a value cannot be cast.
    """
    frame = _payload_frame(form, payload)
    if frame is not None:
        return _cast_frame(frame, signature)
    if form == "instances" and isinstance(payload, list) and payload and isinstance(payload[0], dict):
        return _instances(payload, signature)
    return _tensor_or_columns(payload, signature)


def plain_payload(form: str, payload: Any, model: Model) -> Any:
    """Read a payload as a frame of objects, a dict of lists or a list, for a model whose schema converts the values.

    Numbers may be text, as in MLflow.

    Raises:
        NotCompatible: It is not of its format.
    """
    frame = _payload_frame(form, payload, dtype=object)
    if frame is not None:
        return _with_numbers(frame, model.schema)
    if isinstance(payload, dict) and model.signature is not None and not _by_name(model.signature):
        raise NotCompatible(_NO_NAMES)
    return payload


def _with_numbers(frame: pd.DataFrame, schema: Schema) -> pd.DataFrame:
    for column in schema.columns:
        if column.name is not None and column.name in frame.columns and column.type in NUMBERS:
            values = frame[column.name]
            if any(type(value) is str for value in values):
                frame[column.name] = [_number(value, column.name, row) for row, value in enumerate(values)]
    return frame


def _number(value: Any, name: str, row: int) -> Any:
    if type(value) is not str:
        return value
    try:
        return int(value) if _WHOLE.fullmatch(value) else float(value)
    except ValueError:
        raise NotCompatible(
            f"Data is not compatible with model signature. The column {name} wants numbers; row {row} has {value!r}."
        ) from None


def refuse_repeated_columns(names: Iterable[Any]) -> None:
    """Check that no column is repeated.

    Raises:
        InvalidRequest: A column is given more than once; the message names it.
    """
    texts = [str(name) for name in names]
    if len(set(texts)) < len(texts):
        repeated = next(name for name in texts if texts.count(name) > 1)
        raise InvalidRequest(
            f"The column {repeated} is given more than once.", [FieldError(repeated, "is given more than once")]
        )


def _payload_frame(form: str, payload: Any, **options: Any) -> pd.DataFrame | None:
    """Frame of a payload in one of the two dataframe formats; None for the other formats."""
    if form == "dataframe_split":
        return _split(payload, **options)
    if form != "dataframe_records":
        return None
    if not isinstance(payload, list):
        raise NotCompatible(f"Dataframe records format must be a list of records. Got {_kind(payload)}.")
    return _frame(form, data=payload, **options)


def _split(payload: Any, **options: Any) -> pd.DataFrame:
    if not isinstance(payload, dict):
        raise NotCompatible(f"Dataframe split format must be a dictionary. Got {_kind(payload)}.")
    if "data" not in payload or payload.keys() - {"columns", "data", "index"}:
        raise NotCompatible(
            f"Dataframe split format must have 'data' field and optionally 'columns' and 'index' fields. Got {set(payload)}."
        )
    columns = payload.get("columns")
    if isinstance(columns, list):
        refuse_repeated_columns(columns)
    given = {"index": payload.get("index"), "columns": columns, "data": payload["data"]}
    return _frame("dataframe_split", **given, **options)


def _frame(form: str, **arguments: Any) -> pd.DataFrame:
    try:
        return pd.DataFrame(**arguments)
    except (ValueError, TypeError, AttributeError) as error:
        raise NotCompatible(f"Provided {form} field is not a valid dataframe representation. Error: '{error}'") from None


def _cast_frame(frame: pd.DataFrame, signature: Signature | None) -> pd.DataFrame:
    for name, wanted in _casts(frame, signature).items():
        try:
            values: Any = frame[name]
            if not _is_cast(values, wanted):
                frame[name] = _cast_series(values, wanted)
        except (ValueError, TypeError, OverflowError, AttributeError) as error:
            raise NotCompatible(
                f"Data is not compatible with model signature. Failed to convert column {name} to type"
                f" '{_wanted_name(wanted)}'. Error: '{error!r}'"
            ) from None
    return frame


def _casts(frame: pd.DataFrame, signature: Signature | None) -> dict[Any, Column | Tensor]:
    if signature is None:
        return {}
    if len(signature.tensors) == 1 and signature.tensors[0].name is None:
        return dict.fromkeys(frame.columns, signature.tensors[0])
    specs = (*signature.columns, *signature.tensors)
    if any(spec.name is not None for spec in specs):
        return {spec.label: spec for spec in specs if spec.label in frame.columns}
    return dict(zip(frame.columns, specs, strict=False))


def _cast_series(values: pd.Series, wanted: Column | Tensor) -> Any:
    if isinstance(wanted, Tensor):
        return values if len(values) and isinstance(values.iloc[0], list) else values.astype(np.dtype(wanted.dtype))
    if wanted.type is ColumnType.BINARY:
        return values.map(_from_base64)
    if wanted.type is ColumnType.STRING:
        return values.astype(object)
    if wanted.type is ColumnType.DATETIME:
        parsed = pd.to_datetime(values)
        return parsed.dt.as_unit("ns") if pd.api.types.is_datetime64_any_dtype(parsed) else parsed
    return values if wanted.type is None else values.astype(NUMPY_DTYPES[wanted.type])


def _is_cast(values: pd.Series, wanted: Column | Tensor) -> bool:
    """Tell whether a series has the wanted type already: setting a frame's column costs more than a prediction."""
    if isinstance(wanted, Tensor):
        return values.dtype == np.dtype(wanted.dtype)
    if wanted.type in (None, ColumnType.NESTED):
        return True
    if wanted.type is ColumnType.STRING:
        return values.dtype == object or isinstance(values.dtype, pd.StringDtype)
    return wanted.type in NUMPY_DTYPES and values.dtype == NUMPY_DTYPES[wanted.type]


def _from_base64(text: str) -> bytes:
    return base64.decodebytes(text.encode())


def _instances(records: list[Any], signature: Signature | None) -> dict[str, NDArray[Any]]:
    columns: dict[str, list[Any]] = {}
    specs = _by_name(signature)
    for record in records:
        if not isinstance(record, dict):
            raise NotCompatible(
                "Ensure that the input is a valid JSON-formatted string: instances mixes objects with other values."
            )
        for name, value in record.items():
            columns.setdefault(name, []).append(_cast_value(value, specs.get(name)))
    lengths = {name: len(values) for name, values in columns.items() if not specs or name in specs}
    if len(set(lengths.values())) > 1:
        raise NotCompatible("The length of values for each input/column name are not the same")
    try:
        return {name: np.array(values) for name, values in columns.items()}
    except ValueError as error:
        raise NotCompatible(str(error)) from None


def _tensor_or_columns(payload: Any, signature: Signature | None) -> Any:
    specs = _by_name(signature)
    is_list = isinstance(payload, list)
    if is_list and len(specs) == 1 and not any(isinstance(item, dict) for item in payload):
        payload = {next(iter(specs)): payload}
    elif signature is not None and not specs and isinstance(payload, dict):
        raise NotCompatible(_NO_NAMES)
    if isinstance(payload, dict):
        return {name: _cast_value(values, specs.get(name)) for name, values in payload.items()}
    if is_list and payload and all(isinstance(item, dict) for item in payload):
        return [{name: _cast_value(value, specs.get(name)) for name, value in item.items()} for item in payload]
    if len(specs) > 1:
        return payload  # rows for named columns: MLflow refuses them, the schema reads them by position
    unnamed = (*signature.columns, *signature.tensors) if signature is not None else ()
    return _cast_value(payload, unnamed[0] if unnamed else None)


def _cast_value(value: Any, wanted: Column | Tensor | None) -> Any:
    if isinstance(wanted, Column) and wanted.type is ColumnType.NESTED and not wanted.is_array:
        return value
    dtype = _dtype(wanted)
    try:
        if isinstance(value, list) or wanted is None or isinstance(wanted, Tensor):
            return np.array(value, dtype=dtype)
        return np.array([value], dtype=dtype)[0]
    except (ValueError, TypeError, OverflowError) as error:
        raise NotCompatible(f"{error}") from None


def _dtype(wanted: Column | Tensor | None) -> Any:
    if isinstance(wanted, Tensor):
        return np.dtype(wanted.dtype)
    if wanted is None or wanted.type in (None, ColumnType.NESTED):
        return None
    if wanted.type is ColumnType.DATETIME:
        return np.dtype("datetime64[ns]")
    return NUMPY_DTYPES.get(wanted.type, np.dtype(str) if wanted.type is ColumnType.STRING else np.dtype(bytes))


def _by_name(signature: Signature | None) -> dict[str, Column | Tensor]:
    if signature is None:
        return {}
    return {spec.name: spec for spec in (*signature.columns, *signature.tensors) if spec.name is not None}


def _wanted_name(wanted: Column | Tensor) -> str:
    if isinstance(wanted, Tensor):
        return wanted.dtype
    return str(NUMPY_DTYPES.get(wanted.type, wanted.type)) if wanted.type else "any"


def _kind(value: Any) -> str:
    return {dict: "dictionary", list: "list"}.get(type(value), f"type {type(value)}")
