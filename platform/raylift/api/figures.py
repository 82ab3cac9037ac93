"""Numbers that need not be finite, on a wire that has only finite ones."""

from __future__ import annotations

import math
import sys
from typing import Annotated, Any, Final

from pydantic import BeforeValidator, PlainSerializer, WithJsonSchema

_LARGEST: Final = sys.float_info.max


def _nan_of_null(value: Any) -> Any:
    return math.nan if value is None else value


def _finite(value: float) -> float | None:
    """Return the number as JSON has it. MLflow keeps an infinite metric as the largest number, too."""
    return None if math.isnan(value) else max(-_LARGEST, min(_LARGEST, value))


Figure = Annotated[
    float,
    BeforeValidator(_nan_of_null),
    PlainSerializer(_finite, return_type=float | None, when_used="json"),
    WithJsonSchema({"anyOf": [{"type": "number"}, {"type": "null"}]}),
]
"""A number. NaN travels as null, an infinity as the largest number of its sign."""
