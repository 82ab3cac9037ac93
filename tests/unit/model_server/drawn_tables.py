"""Hypothesis strategies for training tables: columns of every dtype that a request can hold, with and without gaps."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from hypothesis import strategies as st

TEXTS = ("a", "b", "ß", "NA", "1e3", "01", "true")
NUMERIC = ("float64", "gaps", "float32", "int64", "int8", "uint16", "bool")
NULLABLE = ("Int64", "boolean", "Float64")
CATEGORIES = ("category", "ordered", "numbered")
TEXT = ("str", "object None", "object nan", "string")
TIMES = ("datetime64[us]", "datetime64[ns]", "datetime64[s]", "datetime64[us, Europe/Oslo]")

_moments = st.integers(0, 2_500_000_000).map(lambda seconds: pd.Timestamp(seconds, unit="s"))
_numbers = st.floats(-1e6, 1e6, width=32).map(lambda value: round(value, 3))


@dataclass(frozen=True)
class Kind:
    """A kind of column: its values, and the function that makes a pandas column of them."""

    values: st.SearchStrategy[Any]
    column: Callable[[list[Any]], pd.Series]


def _with_gaps(values: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.one_of(values, values, values, st.none())


def _series(dtype: Any) -> Callable[[list[Any]], pd.Series]:
    return lambda values: pd.Series(values, dtype=dtype)


def _objects(missing: Any) -> Callable[[list[Any]], pd.Series]:
    return lambda values: pd.Series([missing if value is None else value for value in values], dtype=object)


def _times(dtype: str) -> Callable[[list[Any]], pd.Series]:
    def column(values: list[Any]) -> pd.Series:
        naive = pd.Series(values, dtype="datetime64[us]")
        if "," not in dtype:
            return naive.dt.floor("s").dt.as_unit(dtype[11:-1])  # pyright: ignore[reportArgumentType]
        return naive.dt.tz_localize("UTC").dt.tz_convert("Europe/Oslo")

    return column


_codes = st.sampled_from([10, 20, 30])
KINDS: dict[str, Kind] = {
    "float64": Kind(_numbers, _series("float64")),
    "gaps": Kind(_with_gaps(_numbers), _series("float64")),
    "float32": Kind(_with_gaps(_numbers), _series("float32")),
    "int64": Kind(st.integers(-(2**40), 2**40), _series("int64")),
    "int8": Kind(st.integers(-128, 127), _series("int8")),
    "uint16": Kind(st.integers(0, 2**16 - 1), _series("uint16")),
    "bool": Kind(st.booleans(), _series("bool")),
    "Int64": Kind(_with_gaps(st.integers(-100, 100)), _series("Int64")),
    "boolean": Kind(_with_gaps(st.booleans()), _series("boolean")),
    "Float64": Kind(_with_gaps(_numbers), _series("Float64")),
    "category": Kind(_with_gaps(st.sampled_from(TEXTS)), lambda values: pd.Series(pd.Categorical(values, TEXTS))),
    "ordered": Kind(_with_gaps(_codes), lambda values: pd.Series(pd.Categorical(values, [10, 20, 30], ordered=True))),
    "numbered": Kind(_with_gaps(_codes), lambda values: pd.Series(pd.Categorical(pd.array(values, dtype="Int64")))),
    "str": Kind(_with_gaps(st.sampled_from(TEXTS)), _series("str")),
    "string": Kind(_with_gaps(st.sampled_from(TEXTS)), _series("string")),
    "object None": Kind(_with_gaps(st.sampled_from(TEXTS)), _objects(None)),
    "object nan": Kind(_with_gaps(st.sampled_from(TEXTS)), _objects(np.nan)),
    **{dtype: Kind(_with_gaps(_moments), _times(dtype)) for dtype in TIMES},
}


@st.composite
def tables(draw: st.DrawFn, kinds: tuple[str, ...], *, rows: int = 16) -> pd.DataFrame:
    """A table of one to four columns of the given kinds. No column consists of gaps only: a library learns nothing from it."""
    chosen = draw(st.lists(st.sampled_from(kinds), min_size=1, max_size=4))
    columns: dict[str, pd.Series] = {}
    for index, kind in enumerate(chosen):
        values = draw(st.lists(KINDS[kind].values, min_size=rows, max_size=rows))
        first = next((value for value in values if value is not None), None)
        values[0] = draw(KINDS[kind].values.filter(lambda value: value is not None)) if first is None else first
        columns[f"{kind[0]} {index}"] = KINDS[kind].column(values)
    return pd.DataFrame(columns)
