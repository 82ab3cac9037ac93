"""Answer of a model."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np


@dataclass(frozen=True, slots=True)
class Prediction:
    """Answer of one model version, with a prediction for each row of the inputs."""

    model_name: str
    model_version: str
    """The version that answered."""
    predictions: list[Any]
    inference_time_ms: float
    """Milliseconds in the model, without transport."""
    probabilities: list[list[float]] | None = None
    """Rows: predictions; columns: classes. None unless requested with ``proba``."""
    classes: list[Any] | None = None
    """The class of each column of ``probabilities``."""
    request_id: str | None = None
    """Id of the request in the replica's log, a payload log and feedback."""
    raw: dict[str, Any] = field(default_factory=dict, repr=False)
    """The JSON answer of the platform."""

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
