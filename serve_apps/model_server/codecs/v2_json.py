"""Values of an input tensor that are written as JSON."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from raylift.domain.errors import InvalidRequest
from serve_apps.model_server.codecs.v2_datatypes import DTYPES
from serve_apps.model_server.inputs.values import describe_value


def from_json(data: Any, datatype: str, shape: Sequence[int], where: str) -> NDArray[Any]:
    """The array of a datatype and shape. Integers and booleans some of which are null are an array of objects.

    Raises:
        InvalidRequest: There are more or fewer values than the shape wants, or one is not of the datatype.
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
        array = _whole(values, datatype, shape, where)
    return array.reshape(tuple(shape))


def row_at(index: int, shape: Sequence[int]) -> int:
    """The row that a value lies in, of a tensor of this shape."""
    return index // max(1, math.prod(shape[1:]))


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
    overflown = np.isinf(array) & ~np.isinf(given)
    if overflown.any():
        index = int(np.argmax(overflown))
        raise _refused(values[index], index, datatype, shape, where)
    return array


def _whole(values: Sequence[Any], datatype: str, shape: Sequence[int], where: str) -> NDArray[Any]:
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
    said = f"{describe_value(value)} in row {row_at(index, shape)}"
    return InvalidRequest(f"{where} holds {said}, which is not {datatype}{bounds}.")


def _objects(values: Sequence[Any]) -> NDArray[Any]:
    array = np.empty(len(values), dtype=object)
    array[:] = values
    return array


def _flat(data: Any) -> list[Any]:
    """The values of a tensor in row-major order, flat or nested as they come."""
    if not isinstance(data, list):
        return [data]
    while any(isinstance(item, list) for item in data):
        data = [value for item in data for value in (item if isinstance(item, list) else [item])]
    return data
