"""Validation of amounts of memory in requests: bytes, or a string with a unit."""

from __future__ import annotations

from typing import Final

from raylift.domain.quantities import format_bytes, parse_bytes

MAX_BYTES: Final = 2**50
"""More than any node has, and within the range of a database column and a float."""


def check_amount(value: int | str) -> None:
    """Raise ValueError unless ``value`` is a valid amount of memory, at most ``MAX_BYTES``."""
    try:
        count = parse_bytes(value)
    except OverflowError:
        count = MAX_BYTES + 1
    if count > MAX_BYTES:
        raise ValueError(f"more than {format_bytes(MAX_BYTES)}")
