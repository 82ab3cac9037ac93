"""A model's features, as its library recorded them at training."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from serve_apps.model_server.inputs.column_type import ColumnType
from serve_apps.model_server.inputs.training_table import TrainedColumn

Batch = Any
"""Input of a predictor: a frame, an array, a dict of arrays; for Python functions any value."""


@dataclass(frozen=True, slots=True)
class Features:
    """Columns that a model was trained on, as its library recorded them."""

    names: tuple[str, ...] | None = None
    """None: trained on a plain array."""
    count: int | None = None
    spelling: Callable[[str], str] = str
    """Spelling of a column's name in the library's records."""
    records: Callable[[Mapping[str, ColumnType | None]], Mapping[str, TrainedColumn]] = lambda _: {}
    """The library's records of the training table, by its spelling of the names. Called with the signature's types.

    Raises ``UnknownTable`` if the records do not say how to build a table.
    """
    refuses_unseen: bool = False
    """True if the library refuses categories that it was not trained on."""


class UnknownTable(Exception):
    """No request can be built for a model: its training table is unknown."""
