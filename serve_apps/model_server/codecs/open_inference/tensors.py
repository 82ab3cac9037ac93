"""Input tensors of the Open Inference Protocol, in JSON or raw bytes."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from numpy.typing import NDArray

from raylift.domain.errors import InvalidRequest
from serve_apps.model_server.codecs.open_inference import binary_tensors
from serve_apps.model_server.codecs.open_inference.binary_tensors import RawTensors
from serve_apps.model_server.codecs.open_inference.datatypes import DTYPES
from serve_apps.model_server.codecs.open_inference.json_values import from_json

_MOST_DIMENSIONS: Final = 32
_MOST_VALUES: Final = 2**40
"""Limit of the other lengths of a shape with a zero, which no data restricts."""


@dataclass(frozen=True, slots=True)
class InputTensor:
    """A tensor of a request."""

    name: str
    datatype: str
    array: NDArray[Any]
    """Object array for BYTES, and for integers and booleans with nulls."""
    parameters: Mapping[str, Any]
    where: str
    """Name of the tensor in errors."""


def input_tensor(index: int, given: Any, raw: RawTensors) -> InputTensor:
    """Read an entry of ``inputs``, with its values in JSON or the next raw bytes.

    Raises:
        InvalidRequest: The entry is wrong; the message says where.
    """
    where = f"inputs[{index}]"
    tensor = checked_object(given, where)
    for name, kind in (("name", str), ("shape", list), ("datatype", str)):
        if not isinstance(tensor.get(name), kind):
            raise InvalidRequest(f"{where} has no {name}, or one that is no {'list' if kind is list else 'text'}.")
    where = f"{where} ({tensor['name']})"
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
    if binary_tensors.SIZE in parameters:
        if "data" in tensor:
            raise InvalidRequest(f"{where} has both data and parameters.{binary_tensors.SIZE}.")
        array = binary_tensors.from_raw(raw.take(parameters, where), datatype, tuple(shape), where)
    elif "data" in tensor:
        array = from_json(tensor["data"], datatype, shape, where)
    else:
        raise InvalidRequest(f"{where} has no data.")
    return InputTensor(tensor["name"], datatype, array, parameters, where)


def checked_object(value: Any, where: str) -> dict[str, Any]:
    """Return an object; an empty one for null, which clients send for unset fields.

    Raises:
        InvalidRequest: It is no object.
    """
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise InvalidRequest(f"{where} is not an object.")
    return value
