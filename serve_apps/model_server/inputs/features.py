"""The library's own records of a model's training, and what its predictor is given."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from serve_apps.model_server.inputs.column_type import ColumnType
from serve_apps.model_server.inputs.training_table import TrainedColumn

Batch = Any
"""A frame, an array, a dict of arrays, or for pyfunc models whatever came: what the schema made for the predictor."""


@dataclass(frozen=True, slots=True)
class Features:
    """A model's memory of the columns it was trained on."""

    names: tuple[str, ...] | None = None
    """None: trained on a plain array."""
    count: int | None = None
    spelling: Callable[[str], str] = str
    """The library's spelling of a column's name in its own records."""
    records: Callable[[Mapping[str, ColumnType | None]], Mapping[str, TrainedColumn]] = lambda _: {}
    """The library's own records of its training table, by its own spelling of the names. It is told the signature's types.

    Raises ``UnknownTable`` where its records do not say how a table is to be made for it.
    """
    refuses_unseen: bool = False
    """True where the library answers no category that its training did not have."""


class UnknownTable(Exception):
    """No request can be built for a model: nothing says which table it was trained on."""
