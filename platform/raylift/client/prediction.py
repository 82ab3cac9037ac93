"""Answer of a model."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from importlib import import_module
from typing import TYPE_CHECKING, Any

from raylift.client.notebook.html import prediction_html

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd


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
    index: Any = field(default=None, repr=False)
    """Index of the frame that was asked for; None for other inputs."""
    raw: dict[str, Any] = field(default_factory=dict, repr=False)
    """The JSON answer of the platform."""

    def __len__(self) -> int:
        return len(self.predictions)

    def __iter__(self) -> Iterator[Any]:
        return iter(self.predictions)

    def _repr_html_(self) -> str:
        title = f"{self.model_name} version {self.model_version} · {self.inference_time_ms:.1f} ms in the model"
        return prediction_html(title, self.predictions, self.probabilities, self.classes)

    def to_pandas(self) -> pd.DataFrame:
        """The predictions as a frame with the index of the frame that was asked for.

        It has the column ``prediction``, or a column for each output of a model with several; with probabilities also
        ``p(CLASS)`` for each class.

        Raises:
            ImportError: pandas is not installed; the SDK does not depend on it.
        """
        frame_of = import_module("pandas").DataFrame
        is_table = bool(self.predictions) and all(isinstance(row, dict) for row in self.predictions)
        frame = frame_of(self.predictions if is_table else {"prediction": self.predictions}, index=self.index)
        if self.probabilities is not None:
            names = self.classes if self.classes is not None else range(len(self.probabilities[0]) if self.probabilities else 0)
            for column, name in enumerate(names):
                frame[f"p({name})"] = [row[column] for row in self.probabilities]
        return frame

    def to_numpy(self) -> np.ndarray[Any, Any]:
        """The predictions as an array.

        Raises:
            ImportError: NumPy is not installed; the SDK does not depend on it.
        """
        array = import_module("numpy").array
        return array(self.predictions)
