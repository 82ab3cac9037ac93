"""What every loaded model can do, whichever library it comes from."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Protocol

from numpy.typing import NDArray

from serve_apps.model_server.inputs.signature import ColumnType
from serve_apps.model_server.inputs.training_table import TrainedColumn

Batch = Any
"""A frame, an array, a dict of arrays, or for pyfunc models whatever came: what the schema made for the predictor."""


class InputKind(StrEnum):
    """What a model takes, beyond the names and types of columns."""

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


@dataclass(frozen=True, slots=True)
class Features:
    """What a model remembers of the columns it was trained on."""

    names: tuple[str, ...] | None = None
    """None: trained on a plain array."""
    count: int | None = None
    spelling: Callable[[str], str] = str
    """How the library spells a column's name in its own records."""
    records: Callable[[Mapping[str, ColumnType | None]], Mapping[str, TrainedColumn]] = lambda _: {}
    """What the library itself knows of its training table, by its own spelling of the names. It is told the signature's types.

    Raises ``UnknownTable`` where its records do not say how a table is to be made for it.
    """
    refuses_unseen: bool = False
    """Whether the library answers no category that its training did not have."""


class UnknownTable(Exception):
    """No request can be built for a model: nothing says which table it was trained on."""


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
