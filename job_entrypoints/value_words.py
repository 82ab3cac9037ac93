"""Words for the values of a column, the same at training and at prediction."""

from __future__ import annotations

from typing import Any


def word_of(value: Any) -> str:
    """Return a value as the profile names it: 1, 1.0 and "1" are the same, because JSON and frames differ in them."""
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return str(value)
