"""What every loaded model can do, whichever library it comes from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import Any, Protocol

from numpy.typing import NDArray

from serve_apps.model_server.inputs.features import Batch, Features


class InputKind(StrEnum):
    """Kind of a model's inputs, beyond the names and types of columns."""

    TABLE = "table"
    """A frame or an array, as its schema says."""
    TEXTS = "texts"
    """A one-dimensional array with a text a row."""
    SERIES = "series"
    """A pandas Series with a value a row."""
    RECORDS = "records"
    """A list with a dictionary a row."""
    LISTS = "lists"
    """A list with a list a row, of any length."""


class Predictor(Protocol):
    @property
    def flavor(self) -> str:
        """The MLflow flavour it was loaded by."""
        ...

    @property
    def features(self) -> Features: ...

    @property
    def classes(self) -> Sequence[Any] | None:
        """The class of each column of probabilities; None for a model that has none."""
        ...

    @property
    def predicts_labels(self) -> bool:
        """Whether predictions are of ``classes``; a native booster's are probabilities."""
        ...

    @property
    def refusals(self) -> tuple[type[Exception], ...]:
        """What the model raises when it is the inputs that are wrong."""
        ...

    def predict(self, batch: Batch, params: Mapping[str, Any]) -> Any:
        """What the library itself answers, untouched."""
        ...

    def probabilities(self, batch: Batch) -> NDArray[Any]:
        """A row per input row, a column per class. Only called where ``classes`` is not None."""
        ...
