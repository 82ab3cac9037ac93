"""Numbers in requests and responses: amounts of memory, and numbers that may be NaN or infinite."""

from __future__ import annotations

import math
import sys
from typing import Annotated, Any, Final

from pydantic import AfterValidator, BeforeValidator, PlainSerializer, WithJsonSchema

from raylift.domain.quantities import format_bytes, parse_bytes

_LARGEST: Final = sys.float_info.max
_MAX_BYTES: Final = 2**50
"""More than any node has, and within the range of a database column and a float."""


def _nan_of_null(value: Any) -> Any:
    return math.nan if value is None else value


def _finite(value: float) -> float | None:
    """Convert a number to JSON. Infinities become the largest number, as in MLflow's metrics."""
    return None if math.isnan(value) else max(-_LARGEST, min(_LARGEST, value))


Figure = Annotated[
    float,
    BeforeValidator(_nan_of_null),
    PlainSerializer(_finite, return_type=float | None, when_used="json"),
    WithJsonSchema({"anyOf": [{"type": "number"}, {"type": "null"}]}),
]
"""A number. In JSON, NaN is null and an infinity is the largest number of its sign."""


def _checked_amount(value: int | str | None) -> int | str | None:
    try:
        count = 0 if value is None else parse_bytes(value)
    except OverflowError:
        count = _MAX_BYTES + 1
    if count > _MAX_BYTES:
        raise ValueError(f"more than {format_bytes(_MAX_BYTES)}")
    return value


Amount = Annotated[int | str, AfterValidator(_checked_amount)]
"""An amount of memory: bytes, or a string with a unit."""
OptionalAmount = Annotated[int | str | None, AfterValidator(_checked_amount)]
