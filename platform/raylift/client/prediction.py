"""What a model answered."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np


@dataclass(frozen=True, slots=True)
class Prediction:
    """One answer of one model version, a prediction per row of the inputs."""

    model_name: str
    model_version: str
    """The version that answered; it matters where the request named none."""
    predictions: list[Any]
    inference_time_ms: float
    """Milliseconds inside the model, without the way there and back."""
    probabilities: list[list[float]] | None = None
    """A row per prediction, a column per class; None unless asked for."""
    classes: list[Any] | None = None
    """The class of each column of ``probabilities``."""
    request_id: str | None = None
    """By which the replica's log, a payload log and feedback know the request."""
    raw: dict[str, Any] = field(default_factory=dict, repr=False)
    """The answer as it came."""

    def __len__(self) -> int:
        return len(self.predictions)

    def __iter__(self) -> Iterator[Any]:
        return iter(self.predictions)

    def to_numpy(self) -> np.ndarray[Any, Any]:
        """The predictions as an array.

        Raises:
            ImportError: NumPy is not installed; the SDK does not depend on it.
        """
        array = import_module("numpy").array
        return array(self.predictions)
