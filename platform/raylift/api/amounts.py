"""Amounts of memory as they come over the wire: bytes, or a string with a unit."""

from __future__ import annotations

from typing import Final

from raylift.domain.quantities import format_bytes, parse_bytes

MAX_BYTES: Final = 2**50
"""More than any node has, and less than what a database column or a float would fall over."""


def check_amount(value: int | str) -> None:
    """Raise ValueError unless ``value`` is an amount of memory that some machine might have."""
    try:
        count = parse_bytes(value)
    except OverflowError:
        count = MAX_BYTES + 1
    if count > MAX_BYTES:
        raise ValueError(f"more than {format_bytes(MAX_BYTES)}")
