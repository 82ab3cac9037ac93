"""Columns of few distinct values: each value once, and its place for each row."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class CodedColumn:
    """A column as a dictionary. What is done to a value is done once, however many rows have it."""

    distinct: list[Any]
    """Values as JSON has them, in the order in which rows first have them. Each has a row."""
    codes: NDArray[np.intp]
    """Place of each row's value."""

    @classmethod
    def of(cls, distinct: Sequence[Any], codes: NDArray[np.intp]) -> CodedColumn:
        """Return a column without the values that no row has."""
        first = np.full(len(distinct), len(codes), dtype=np.intp)
        first[codes[::-1]] = np.arange(len(codes) - 1, -1, -1)
        order = np.argsort(first, kind="stable")[: np.count_nonzero(first < len(codes))]
        places = np.empty(len(distinct), dtype=np.intp)
        places[order] = np.arange(len(order))
        return cls([distinct[place] for place in order], places[codes])

    @classmethod
    def of_array(cls, values: NDArray[Any]) -> CodedColumn:
        """Return the numbers or booleans of an array; NaN is a missing value."""
        codes, distinct = pd.factorize(values)
        listed: list[Any] = distinct.tolist()
        if (missing := codes < 0).any():
            codes[missing], listed = len(listed), [*listed, None]
        return cls(listed, codes)

    def __len__(self) -> int:
        return len(self.codes)

    def __iter__(self) -> Iterator[Any]:
        return iter(self.tolist())

    def __getitem__(self, rows: slice) -> CodedColumn:
        return CodedColumn.of(self.distinct, self.codes[rows])

    def tolist(self) -> list[Any]:
        """Return the value of each row."""
        return [self.distinct[code] for code in self.codes.tolist()]
