"""Numbers in JSON that may be NaN or infinite."""

from __future__ import annotations

import math
import sys
from typing import Annotated, Any, Final

from pydantic import BeforeValidator, PlainSerializer, WithJsonSchema

_LARGEST: Final = sys.float_info.max


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
