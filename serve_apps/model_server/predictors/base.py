"""Interface of a loaded model of any library."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import Any, Protocol

from numpy.typing import NDArray

from serve_apps.model_server.inputs.features import Batch, Features


class InputKind(StrEnum):
    """Kind of a model's inputs, beyond the names and types of columns."""

    TABLE = "table"
    """A frame or an array, by its schema."""
    TEXTS = "texts"
    """A one-dimensional array with a text for each row."""
    SERIES = "series"
    """A pandas Series with a value for each row."""
    RECORDS = "records"
    """A list with a dictionary for each row."""
    LISTS = "lists"
    """A list with a list of any length for each row."""


class Predictor(Protocol):
    @property
    def flavor(self) -> str:
        """MLflow flavour that loaded it."""
        ...

    @property
    def features(self) -> Features: ...

    @property
    def classes(self) -> Sequence[Any] | None:
        """Classes in the order of the probabilities' columns; None for a model without probabilities."""
        ...

    @property
    def predicts_labels(self) -> bool:
        """True if predictions are ``classes``. A native booster's are probabilities."""
        ...

    @property
    def refusals(self) -> tuple[type[Exception], ...]:
        """Errors of the library that wrong inputs explain."""
        ...

    def predict(self, batch: Batch, params: Mapping[str, Any]) -> Any:
        """The library's own predictions, unchanged."""
        ...

    def probabilities(self, batch: Batch) -> NDArray[Any]:
        """Array of (rows, classes). Only called if ``classes`` is not None."""
        ...
