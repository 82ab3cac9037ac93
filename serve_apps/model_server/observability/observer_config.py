"""What is counted and written of the requests to a version. Travels as JSON, and loads no library of models."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from raylift.domain.deployment import PayloadLog


@dataclass(frozen=True, slots=True)
class PayloadFiles:
    """Where payloads go, and how large the pieces are."""

    root: str
    file_bytes: int
    """Of bodies, before a file is written."""
    file_seconds: float
    """How long a payload may wait for others before a file is written."""


@dataclass(frozen=True, slots=True)
class ObserverConfig:
    slow_seconds: float | None = None
    """Requests that take longer get a line in the log; None: only errors do."""
    access_log: bool = False
    """A line for every request."""
    payload_log: PayloadLog | None = None
    payloads: PayloadFiles | None = None
    """Where payloads go; None: nowhere."""

    def as_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def of(cls, values: Mapping[str, Any]) -> ObserverConfig:
        """Of what ``as_json`` gave."""
        sample, files = values["payload_log"], values["payloads"]
        return cls(
            values["slow_seconds"],
            values["access_log"],
            PayloadLog(**sample) if sample else None,
            PayloadFiles(**files) if files else None,
        )
