"""Input tensors of the Open Inference Protocol, whichever way they are written."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from numpy.typing import NDArray

from raylift.domain.errors import InvalidRequest
from serve_apps.model_server.codecs import v2_binary
from serve_apps.model_server.codecs.v2_binary import RawTensors
from serve_apps.model_server.codecs.v2_datatypes import DTYPES
from serve_apps.model_server.codecs.v2_json import from_json

_MOST_DIMENSIONS: Final = 32
_MOST_VALUES: Final = 2**40
"""More than any body holds: of a shape with a zero in it, other lengths may claim anything."""


@dataclass(frozen=True, slots=True)
class InputTensor:
    """One tensor of a request."""

    name: str
    datatype: str
    array: NDArray[Any]
    """Of objects for BYTES, and for integers and booleans some of which are null."""
    parameters: Mapping[str, Any]
    where: str
    """Its name in an error."""


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
    if v2_binary.SIZE in parameters:
        if "data" in tensor:
            raise InvalidRequest(f"{where} has both data and parameters.{v2_binary.SIZE}.")
        array = v2_binary.from_raw(raw.take(parameters, where), datatype, tuple(shape), where)
    elif "data" in tensor:
        array = from_json(tensor["data"], datatype, shape, where)
    else:
        raise InvalidRequest(f"{where} has no data.")
    return InputTensor(tensor["name"], datatype, array, parameters, where)


def checked_object(value: Any, where: str) -> dict[str, Any]:
    """An object; an empty one for null, which clients write for what is not set."""
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise InvalidRequest(f"{where} is not an object.")
    return value
