"""Tensors of the Open Inference Protocol, in and out, whichever way they are written."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from raylift.domain.errors import InvalidRequest
from serve_apps.model_server.codecs import v2_binary
from serve_apps.model_server.codecs.v2_binary import RawTensors
from serve_apps.model_server.codecs.v2_datatypes import DTYPES, datatype_of, name_of
from serve_apps.model_server.inputs.values import describe_value
from serve_apps.model_server.jsonify import dumps, natives

_MOST_DIMENSIONS: Final = 32
_MOST_VALUES: Final = 2**40
"""More than any body holds: of a shape with a zero in it, other lengths may claim anything."""

PREDICT = "predict"
"""The output of a model that does not name its own."""


@dataclass(frozen=True, slots=True)
class InputTensor:
    """One tensor of a request."""

    name: str
    array: NDArray[Any]
    parameters: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class OutputTensor:
    """One tensor of an answer: its JSON, and its raw bytes where it is to be binary."""

    entry: dict[str, Any]
    raw: bytes = b""


def input_tensor(index: int, given: Any, raw: RawTensors) -> InputTensor:
    """Read one entry of ``inputs``; its values stand in it, or are the next of the raw ones.

    Raises:
        InvalidRequest: something of it is wrong; the message says where.
    """
    where = f"inputs[{index}]"
    tensor = checked_object(given, where)
    for name, kind in (("name", str), ("shape", list), ("datatype", str)):
        if not isinstance(tensor.get(name), kind):
            raise InvalidRequest(f"{where} has no {name}, or one that is no {'list' if kind is list else 'text'}.")
    shape: list[Any] = tensor["shape"]
    if not all(isinstance(length, int) and not isinstance(length, bool) and length >= 0 for length in shape):
        raise InvalidRequest(f"{where} has the shape {shape}: lengths are whole numbers.")
    if not 0 < len(shape) <= _MOST_DIMENSIONS:
        raise InvalidRequest(
            f"{where} has {len(shape)} dimensions; it wants 1 to {_MOST_DIMENSIONS}, the first of them the rows."
        )
    if 0 in shape and math.prod(filter(None, shape)) > _MOST_VALUES:
        raise InvalidRequest(f"{where} has the shape {shape}, which no array has.")
    datatype: str = tensor["datatype"]
    if datatype not in DTYPES:
        raise InvalidRequest(f"{where} has the datatype {datatype}; known are {', '.join(sorted(DTYPES))}.")
    parameters = checked_object(tensor.get("parameters"), f"{where}.parameters")
    if v2_binary.SIZE in parameters:
        if "data" in tensor:
            raise InvalidRequest(f"{where} has both data and parameters.{v2_binary.SIZE}.")
        array = v2_binary.from_raw(raw.take(parameters, where), datatype, tuple(shape), where)
    elif "data" in tensor:
        array = _array(tensor["data"], datatype, shape, where)
    else:
        raise InvalidRequest(f"{where} has no data.")
    return InputTensor(tensor["name"], array, parameters)


def output_tensor(name: str, array: NDArray[Any], *, binary: bool) -> OutputTensor:
    """One entry of ``outputs``. Values of a type that the protocol has no word for go as text."""
    datatype = datatype_of(array)
    entry: dict[str, Any] = {"name": name, "shape": list(array.shape), "datatype": datatype}
    flat = array.reshape(-1)
    if not binary:
        values = natives(flat)
        return OutputTensor({**entry, "data": [_text(value) for value in values] if datatype == "BYTES" else values})
    if datatype == "BYTES":
        texts = np.empty(flat.size, dtype=object)
        texts[:] = [value if isinstance(value, bytes) else _text(value).encode() for value in natives(flat)]
        flat = texts
    raw = v2_binary.to_raw(flat)
    return OutputTensor({**entry, "parameters": {v2_binary.SIZE: len(raw)}}, raw)


def named_outputs(predictions: Any) -> list[tuple[str, NDArray[Any]]]:
    """A frame's columns and a dict's arrays are outputs of their own; anything else is ``predict``."""
    if isinstance(predictions, pd.DataFrame):
        return [(str(name), predictions[name].to_numpy()) for name in predictions.columns]
    if isinstance(predictions, dict):
        return [(str(name), np.atleast_1d(np.asarray(values))) for name, values in predictions.items()]
    if isinstance(predictions, np.ndarray):
        return [(PREDICT, np.atleast_1d(predictions))]
    listed = natives(predictions)
    array = (
        np.asarray(listed) if all(isinstance(value, (bool, int, float, str)) for value in listed) else np.empty(0, dtype=object)
    )
    if array.dtype.kind not in "biufU" or array.shape != (len(listed),):
        array = np.empty(len(listed), dtype=object)
        array[:] = listed
    return [(PREDICT, array)]


def checked_object(value: Any, where: str) -> dict[str, Any]:
    """An object; an empty one for null, which clients write for what is not set."""
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise InvalidRequest(f"{where} is not an object.")
    return value


def _array(data: Any, datatype: str, shape: Sequence[int], where: str) -> NDArray[Any]:
    dtype = DTYPES[datatype]
    plain = _plain(data, dtype)
    if plain is not None and plain.size == math.prod(shape):
        return plain.reshape(tuple(shape))
    values = _flat(data)
    if len(values) != math.prod(shape):
        raise InvalidRequest(f"{where} has {len(values)} values; the shape {list(shape)} wants {math.prod(shape)}.")
    if dtype.kind == "f":
        values = [math.nan if value is None else value for value in values]
    if dtype.kind in "iufb" and any(isinstance(value, str) or value is None for value in values):
        raise InvalidRequest(f"{where} holds values that are not {name_of(dtype)}.")
    _refuse_lossy(values, dtype, where)
    try:
        if dtype.kind == "O":
            array = np.empty(len(values), dtype=object)
            array[:] = values
        else:
            array = np.array(values).astype(dtype, casting="same_kind") if dtype.kind in "f" else np.array(values, dtype=dtype)
    except (TypeError, ValueError, OverflowError) as error:
        raise InvalidRequest(f"{where} holds values that are not {name_of(dtype)}: {error}.") from None
    return array.reshape(tuple(shape))


def _plain(data: Any, dtype: np.dtype[Any]) -> NDArray[Any] | None:
    """Numbers that need no look one by one: floats where floats are wanted, integers where INT64 is. None for all others."""
    first = data
    while type(first) is list and first:
        first = first[0]
    if type(first) not in (float, int):
        return None
    try:
        array = np.array(data)
    except (ValueError, OverflowError):  # ragged, for one
        return None
    if dtype.kind == "f":
        return array.astype(dtype) if array.dtype.kind == "f" else None
    return array if array.dtype == dtype == np.int64 else None


def _refuse_lossy(values: Sequence[Any], dtype: np.dtype[Any], where: str) -> None:
    """NumPy would cut 1.5 off to 1, and call it true."""
    if dtype.kind in "iu":
        lossy = [value for value in values if isinstance(value, float) and not value.is_integer()]
    elif dtype.kind == "b":
        lossy = [value for value in values if value not in (0, 1)]
    else:
        return
    if lossy:
        raise InvalidRequest(f"{where} holds {describe_value(lossy[0])}, which is not {name_of(dtype)}.")


def _flat(data: Any) -> list[Any]:
    """The values of a tensor in row-major order, flat or nested as they come."""
    if not isinstance(data, list):
        return [data]
    while any(isinstance(item, list) for item in data):
        data = [value for item in data for value in (item if isinstance(item, list) else [item])]
    return data


def _text(value: Any) -> str:
    if isinstance(value, str):
        return value
    return value.decode(errors="replace") if isinstance(value, bytes) else dumps(value).decode()
