"""Values of an input tensor in JSON."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from raylift.domain.errors import InvalidRequest
from serve_apps.model_server.codecs.open_inference.datatypes import DTYPES
from serve_apps.model_server.inputs.values import describe_value


def from_json(data: Any, datatype: str, shape: Sequence[int], where: str) -> NDArray[Any]:
    """Values as an array of a datatype and shape. Integers and booleans with nulls become an object array.

    Raises:
        InvalidRequest: The number of values differs from the shape's, or a value is not of the datatype.
    """
    dtype = DTYPES[datatype]
    plain = _plain(data, dtype)
    if plain is not None and plain.size == math.prod(shape):
        return plain.reshape(tuple(shape))
    values = _flat(data)
    if len(values) != math.prod(shape):
        raise InvalidRequest(f"{where} has {len(values)} values; the shape {list(shape)} wants {math.prod(shape)}.")
    if dtype.kind == "O":
        array = _objects(values)
    elif dtype.kind == "f":
        array = _floats(values, datatype, shape, where)
    else:
        array = _integers(values, datatype, shape, where)
    return array.reshape(tuple(shape))


def row_at(index: int, shape: Sequence[int]) -> int:
    """Row of a value in a tensor of this shape."""
    return index // max(1, math.prod(shape[1:]))


def _plain(data: Any, dtype: np.dtype[Any]) -> NDArray[Any] | None:
    """Values that need no check one by one: floats for a float type, integers for INT64; None for others."""
    first = data
    while type(first) is list and first:
        first = first[0]
    if type(first) not in (float, int):
        return None
    try:
        array = np.array(data)
    except (ValueError, OverflowError):  # for instance ragged
        return None
    if dtype.kind != "f":
        return array if array.dtype == dtype == np.int64 else None
    if array.dtype.kind != "f" or dtype.itemsize == array.itemsize:
        return array if array.dtype.kind == "f" else None
    with np.errstate(over="ignore"):
        typed = array.astype(dtype)
    return typed if np.isfinite(typed).all() else None


def _floats(values: Sequence[Any], datatype: str, shape: Sequence[int], where: str) -> NDArray[Any]:
    dtype = DTYPES[datatype]
    given = np.empty(len(values), dtype=np.float64)
    for index, value in enumerate(values):
        if value is not None and not isinstance(value, (int, float)):
            raise _refused(value, index, datatype, shape, where)
        try:
            given[index] = math.nan if value is None else value
        except OverflowError:
            raise _refused(value, index, datatype, shape, where) from None
    with np.errstate(over="ignore"):
        array = given.astype(dtype)
    overflowed = np.isinf(array) & ~np.isinf(given)
    if overflowed.any():
        index = int(np.argmax(overflowed))
        raise _refused(values[index], index, datatype, shape, where)
    return array


def _integers(values: Sequence[Any], datatype: str, shape: Sequence[int], where: str) -> NDArray[Any]:
    dtype = DTYPES[datatype]
    low, high = (0, 1) if dtype.kind == "b" else (int(np.iinfo(dtype).min), int(np.iinfo(dtype).max))
    for index, value in enumerate(values):
        if value is not None and not (isinstance(value, (int, float)) and low <= value <= high and value == int(value)):
            raise _refused(value, index, datatype, shape, where)
    if None not in values:
        return np.array([int(value) for value in values], dtype=dtype)
    kind = bool if dtype.kind == "b" else int
    return _objects([None if value is None else kind(value) for value in values])


def _refused(value: Any, index: int, datatype: str, shape: Sequence[int], where: str) -> InvalidRequest:
    dtype = DTYPES[datatype]
    limits: Any = np.iinfo(dtype) if dtype.kind in "iu" else np.finfo(dtype) if dtype.kind == "f" else None
    bounds = f" ({limits.min} to {limits.max})" if limits is not None else ""
    place = f"{describe_value(value)} in row {row_at(index, shape)}"
    return InvalidRequest(f"{where} holds {place}, which is not {datatype}{bounds}.")


def _objects(values: Sequence[Any]) -> NDArray[Any]:
    array = np.empty(len(values), dtype=object)
    array[:] = values
    return array


def _flat(data: Any) -> list[Any]:
    """Values of a tensor in row-major order, from a flat or nested list."""
    if not isinstance(data, list):
        return [data]
    while any(isinstance(item, list) for item in data):
        data = [value for item in data for value in (item if isinstance(item, list) else [item])]
    return data
