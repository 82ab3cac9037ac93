"""True values of predictions, sent after the fact."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

Truth = bool | int | float | str | list["Truth"] | dict[str, "Truth"] | None
"""A JSON value: the true value of the one row, or a list with one value per row of the request."""


@dataclass(frozen=True, slots=True)
class Feedback:
    """The latest true value sent for one request."""

    model_name: str
    version: str
    request_id: str
    """X-Request-ID of the request or of its response."""
    true_value: Truth
    received_at: datetime
