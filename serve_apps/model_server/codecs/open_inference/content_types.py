"""``parameters.content_type`` of requests and tensors: the encoding of a tensor's values, by the names of MLServer's codecs."""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping
from typing import Any, Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from raylift.domain.errors import InvalidRequest
from serve_apps.model_server.codecs.open_inference.json_values import row_at
from serve_apps.model_server.inputs.column_type import ColumnType
from serve_apps.model_server.inputs.values import describe_value

CONTENT_TYPE: Final = "content_type"
ARRAY: Final = "np"
FRAME: Final = "pd"
_BASE64: Final = "base64"
_DATETIME: Final = "datetime"
_ENCODINGS: Final = frozenset({"str", _BASE64, _DATETIME})
_KNOWN: Final = (ARRAY, FRAME, *sorted(_ENCODINGS))


def content_type_of(parameters: Mapping[str, Any], where: str) -> str | None:
    """Content type in the parameters of a request or a tensor.

    Raises:
        InvalidRequest: It is unknown.
    """
    given = parameters.get(CONTENT_TYPE)
    if given is not None and given not in _KNOWN:
        name = f'"{given}"' if isinstance(given, str) else describe_value(given)
        raise InvalidRequest(f"{where} has the content_type {name}; known are {', '.join(_KNOWN)}.")
    return given


def decoded(
    array: NDArray[Any], datatype: str, wanted: ColumnType | None, encoding: str | None, where: str, *, keeps_bytes: bool
) -> NDArray[Any]:
    """Values of a tensor, decoded by its content type.

    Bytes become text, except for binary columns and, with ``keeps_bytes``, those from base64.

    Raises:
        InvalidRequest: A value is not encoded so; the message names the row.
    """
    if datatype != "BYTES":
        if encoding in _ENCODINGS:
            raise InvalidRequest(f"{where} has the content_type {encoding}, which wants BYTES, and is {datatype}.")
        return array
    if encoding == _BASE64:
        array = _each(array, _from_base64, where, "base64")
    if wanted is ColumnType.BINARY or (keeps_bytes and encoding == _BASE64):
        return array
    array = _each(array, _text, where, "UTF-8 text. Bytes go to a column that the model's signature calls binary")
    if encoding == _DATETIME and wanted is not ColumnType.DATETIME:
        return _each(array, _moment, where, "a date and time as ISO 8601 text")
    return array


def _each(array: NDArray[Any], read: Callable[[Any], Any], where: str, wants: str) -> NDArray[Any]:
    values = np.empty(array.size, dtype=object)
    for index, value in enumerate(array.reshape(-1)):
        try:
            values[index] = None if value is None else read(value)
        except (ValueError, TypeError, OverflowError):
            place = f"{describe_value(value)} in row {row_at(index, array.shape)}"
            raise InvalidRequest(f"{where} holds {place}, which is not {wants}.") from None
    return values.reshape(array.shape)


def _from_base64(value: Any) -> bytes:
    return base64.b64decode(value, validate=True)


def _text(value: Any) -> Any:
    return value.decode() if isinstance(value, bytes) else value


def _moment(value: Any) -> pd.Timestamp:
    return pd.to_datetime(value, format="ISO8601")
