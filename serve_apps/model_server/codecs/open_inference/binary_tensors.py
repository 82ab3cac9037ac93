"""Binary tensor extension: JSON, then the raw bytes of its tensors in their order.

Source: the Open Inference Protocol, binary tensor data extension. Numbers are little-endian and row-major. Each BYTES element
follows its length in four bytes. bfloat16 is the upper half of a float32.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Iterable, Mapping
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from raylift.domain.errors import InvalidRequest
from serve_apps.model_server.codecs.open_inference.datatypes import DTYPES
from serve_apps.model_server.errors import MalformedBody

JSON_LENGTH: Final = "inference-header-content-length"
"""Header with the length of the JSON part in bytes."""
MEDIA_TYPE: Final = "application/octet-stream"
SIZE: Final = "binary_data_size"
"""Parameter of a tensor: the number of its raw bytes."""

_LENGTH: Final = struct.Struct("<I")
_MOST_DIGITS: Final = 18
"""Limit of a length's digits."""


class RawTensors:
    """Raw part of a request, read tensor by tensor."""

    def __init__(self, raw: memoryview) -> None:
        self._raw = raw
        self._at = 0

    def take(self, parameters: Mapping[str, Any], where: str) -> memoryview:
        """Bytes of the next tensor.

        Raises:
            InvalidRequest: Its size is no number of bytes, or more than is left.
        """
        size = parameters[SIZE]
        if not isinstance(size, int) or isinstance(size, bool) or size < 0:
            raise InvalidRequest(f"{where}.parameters.{SIZE} is {size!r}: write the number of its bytes.")
        left = len(self._raw) - self._at
        if size > left:
            raise InvalidRequest(f"{where} wants {size} raw bytes; the body has {left} left.")
        piece = self._raw[self._at : self._at + size]
        self._at += size
        return piece

    def refuse_more(self) -> None:
        left = len(self._raw) - self._at
        if left:
            raise InvalidRequest(f"The body has {left} raw bytes more than the {SIZE} of its tensors.")


def split(body: bytes, json_length: str | None) -> tuple[bytes, RawTensors]:
    """Split a body into its JSON and its raw tensors. Without the header there are none.

    Raises:
        MalformedBody: The header is no length, or larger than the body.
    """
    if json_length is None:
        return body, RawTensors(memoryview(b""))
    is_length = json_length.isascii() and json_length.isdigit() and len(json_length) <= _MOST_DIGITS
    if not is_length or int(json_length) > len(body):
        raise MalformedBody(
            f"Inference-Header-Content-Length is {json_length[: _MOST_DIGITS + 1]}; the body has {len(body)} bytes."
        )
    length = int(json_length)
    return body[:length], RawTensors(memoryview(body)[length:])


def from_raw(raw: memoryview, datatype: str, shape: tuple[int, ...], where: str) -> NDArray[Any]:
    """Raw bytes as an array of a datatype and shape.

    Raises:
        InvalidRequest: Their number differs from the shape's.
    """
    count = math.prod(shape)
    if datatype == "BYTES":
        # Elements first: a shape may claim more than any memory holds.
        elements = _elements(raw, count, where)
        array = np.empty(count, dtype=object)
        array[:] = elements
        return array.reshape(shape)
    wanted = np.dtype("<u2") if datatype == "BF16" else DTYPES[datatype].newbyteorder("<")
    if len(raw) != count * wanted.itemsize:
        raise InvalidRequest(
            f"{where} has {len(raw)} raw bytes; {datatype} of the shape {list(shape)} takes {count * wanted.itemsize}."
        )
    array = np.frombuffer(raw, dtype=wanted).reshape(shape)
    if datatype == "BF16":
        return (array.astype(np.uint32) << 16).view(np.float32)
    # A copy: models may write to it, and the bytes of a request are read-only.
    return array.astype(DTYPES[datatype], copy=True)


def to_raw(array: NDArray[Any]) -> bytes:
    """Raw bytes of an array. Elements of an object array must be bytes."""
    if array.dtype.kind == "O":
        return b"".join(_LENGTH.pack(len(element)) + element for element in array.reshape(-1))
    return np.ascontiguousarray(array, dtype=array.dtype.newbyteorder("<")).tobytes()


def _elements(raw: memoryview, count: int, where: str) -> Iterable[bytes]:
    elements: list[bytes] = []
    at = 0
    while at + _LENGTH.size <= len(raw):
        (length,) = _LENGTH.unpack_from(raw, at)
        at += _LENGTH.size
        if at + length > len(raw):
            break
        elements.append(bytes(raw[at : at + length]))
        at += length
    if at != len(raw) or len(elements) != count:
        raise InvalidRequest(
            f"{where} has {len(elements)} BYTES elements in {len(raw)} raw bytes; its shape wants {count}, "
            "each behind its length in four bytes."
        )
    return elements
