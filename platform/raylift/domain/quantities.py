"""Amounts of memory as Kubernetes and Ray write them."""

from __future__ import annotations

import re
from typing import Final

_UNITS: Final = {
    "": 1,
    "k": 10**3,
    "K": 10**3,
    "M": 10**6,
    "G": 10**9,
    "T": 10**12,
    "Ki": 2**10,
    "Mi": 2**20,
    "Gi": 2**30,
    "Ti": 2**40,
}
_QUANTITY: Final = re.compile(r"\s*([0-9]+(?:\.[0-9]+)?)\s*([kKMGT]i?)?B?\s*")


def parse_bytes(text: str | int) -> int:
    """Parse ``"2GiB"``, ``"512Mi"``, ``"1.5G"`` or a plain number into bytes.

    Raises:
        ValueError: ``text`` is not a quantity of at least one byte.
    """
    if isinstance(text, int):
        value = float(text)
    else:
        match = _QUANTITY.fullmatch(text)
        if match is None or (match[2] or "") not in _UNITS:
            raise ValueError(f"{text!r} is not an amount of memory: write bytes, or a number with KiB, MiB, GiB, K, M or G")
        value = float(match[1]) * _UNITS[match[2] or ""]
    if value < 1:
        raise ValueError(f"{text!r} is less than one byte")
    return int(value)


def format_bytes(count: int) -> str:
    """Format ``2147483648`` as ``"2 GiB"``: the largest binary unit, at most two decimals."""
    for unit, size in (("TiB", 2**40), ("GiB", 2**30), ("MiB", 2**20), ("KiB", 2**10)):
        if count >= size:
            return f"{count / size:.2f}".rstrip("0").rstrip(".") + f" {unit}"
    return f"{count} B"


def format_amounts(cpus: float, memory_bytes: float, gpus: float, *, with_gpus: bool | None = None) -> str:
    """Format ``"2 GPUs, 1 CPU and 4 GiB"``. GPUs are named where there are some, unless ``with_gpus`` says otherwise."""
    parts = [f"{cpus:g} {'CPU' if cpus == 1 else 'CPUs'}", format_bytes(int(memory_bytes))]
    if gpus > 0 if with_gpus is None else with_gpus:
        parts.insert(0, f"{gpus:g} {'GPU' if gpus == 1 else 'GPUs'}")
    return f"{', '.join(parts[:-1])} and {parts[-1]}"
