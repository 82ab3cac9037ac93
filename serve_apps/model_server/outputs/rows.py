"""A model's answer as a list with one entry a row that was asked for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
import pandas as pd

from serve_apps.model_server.errors import UnusableOutput
from serve_apps.model_server.outputs.tables import plain
from serve_apps.model_server.outputs.values import entries_of, listed

_SHOWN: Final = 8
_WIDTH: Final = 60
_ELSEWHERE: Final = "…/invocations and …/infer give the answer as it is."


def row_count(batch: Any) -> int | None:
    """Rows of a model's inputs; None where nothing says how many there are."""
    if isinstance(batch, np.ndarray):
        return len(batch) if batch.ndim else None
    if isinstance(batch, (pd.DataFrame, list)):
        return len(batch)
    if isinstance(batch, dict):
        lengths = {len(values) if isinstance(values, np.ndarray) and values.ndim else None for values in batch.values()}
        return lengths.pop() if len(lengths) == 1 else None
    return None


def rows_of(answer: Any, count: int | None) -> list[Any]:
    """One entry a row: values, lists of values, or records for a frame or a dict of columns.

    An answer to one row may have any length, as a forecast does: then its entries are those of the answer.

    Raises:
        UnusableOutput: It is not one for each of several rows; the message says what came.
    """
    if isinstance(answer, np.ndarray) and answer.ndim and len(answer) == count:
        return listed(answer)
    answer = plain(answer)
    if isinstance(answer, dict):
        return _of_columns(answer, count)
    if count is not None and isinstance(answer, (list, tuple)) and _is_of_outputs(answer, count):
        return _zipped([_listed(output) for output in answer])
    entries = entries_of(answer)
    if count is None or count == 1 or (len(entries) == count and _is_series(answer)):
        return entries
    raise UnusableOutput(f"The model answered {described(answer)} for {count} rows; here it is one a row. {_ELSEWHERE}")


def described(answer: Any) -> str:
    """Name an answer in a few words: its kind, and how many values or which."""
    if isinstance(answer, pd.DataFrame):
        return f"a frame of {len(answer)} rows"
    if isinstance(answer, np.ndarray) and answer.ndim:
        return f"an array of the shape {list(answer.shape)} ({answer.dtype})"
    if isinstance(answer, (pd.Series, list, tuple)):
        return f"a {type(answer).__name__} of {len(answer)} {'value' if len(answer) == 1 else 'values'}"
    if isinstance(answer, Mapping):
        shown = [f"{name}: {described(plain(value))}" for name, value in list(answer.items())[:_SHOWN]]
        return f"an object with {', '.join(shown)}{', …' if len(answer) > _SHOWN else ''}"
    text = repr(answer)
    return f"one value ({text if len(text) <= _WIDTH else text[: _WIDTH - 1] + '…'})"


def _of_columns(answer: Mapping[Any, Any], count: int | None) -> list[Any]:
    columns = {str(name): plain(values) for name, values in answer.items()}
    is_of_columns = all(_is_series(values) and len(values) == count for values in columns.values())
    if is_of_columns and columns and len(columns) == len(answer):
        listings = [_listed(values) for values in columns.values()]
        return [dict(zip(columns, row, strict=True)) for row in zip(*listings, strict=True)]
    if count is None or count == 1:
        return [answer]
    raise UnusableOutput(f"The model answered {described(answer)} for {count} rows; here it is one a row. {_ELSEWHERE}")


def _is_of_outputs(answer: Sequence[Any], count: int) -> bool:
    """Tell whether it is several outputs, each of one value a row, as networks with several heads answer."""
    is_tuple = isinstance(answer, tuple)
    outputs = [plain(output) for output in answer]
    kinds = (np.ndarray, pd.Series, list) if is_tuple else (np.ndarray, pd.Series)
    if len(outputs) < 2 or not all(isinstance(output, kinds) and _is_series(output) for output in outputs):
        return False
    are_whole = all(len(output) == count for output in outputs)
    if are_whole and is_tuple and len(outputs) == count > 1:
        raise UnusableOutput(
            f"The model answered a tuple of {count} values, each of {count}, for {count} rows: "
            "it may be rows or columns. Answer a frame, or a dict of columns."
        )
    return are_whole and len(outputs) != count


def _zipped(listings: Sequence[list[Any]]) -> list[Any]:
    return [list(row) for row in zip(*listings, strict=True)]


def _listed(values: Any) -> list[Any]:
    values = plain(values)
    return listed(values) if isinstance(values, np.ndarray) else list(entries_of(values))


def _is_series(values: Any) -> bool:
    """Tell whether it is a sequence of values, and no value itself."""
    if isinstance(values, np.ndarray):
        return values.ndim > 0
    return isinstance(values, (pd.Series, pd.DataFrame, list, tuple))
