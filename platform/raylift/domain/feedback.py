"""What a prediction should have been, told afterwards."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

Truth = bool | int | float | str | list["Truth"] | dict[str, "Truth"] | None
"""What JSON can say: the true value of the one row, or a list with one for each row of the request."""


@dataclass(frozen=True, slots=True)
class Feedback:
    """To one request; what was told last."""

    model_name: str
    version: str
    request_id: str
    """The X-Request-ID that the request came with, or was answered with."""
    true_value: Truth
    received_at: datetime
