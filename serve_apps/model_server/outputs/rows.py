"""A model's output as a list with an entry for each row."""

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
_ELSEWHERE: Final = "…/invocations and …/infer return the answer unchanged."


def row_count(batch: Any) -> int | None:
    """Rows of a model's inputs; None if unknown."""
    if isinstance(batch, np.ndarray):
        return len(batch) if batch.ndim else None
    if isinstance(batch, (pd.DataFrame, list)):
        return len(batch)
    if isinstance(batch, dict):
        lengths = {len(values) if isinstance(values, np.ndarray) and values.ndim else None for values in batch.values()}
        return lengths.pop() if len(lengths) == 1 else None
    return None


def rows_of(answer: Any, count: int | None) -> list[Any]:
    """One entry for each row: values, lists of values, or records for a frame or a dict of columns.

    The output for one row may have any length, as a forecast has: its entries are returned.

    Raises:
        UnusableOutput: It does not have an entry for each of several rows; the message describes it.
    """
    if isinstance(answer, np.ndarray) and answer.ndim and len(answer) == count:
        return listed(answer)
    answer = plain(answer)
    if isinstance(answer, dict):
        return _of_columns(answer, count)
    if count is not None and isinstance(answer, (list, tuple)) and _is_of_outputs(answer, count):
        return [list(row) for row in zip(*map(entries_of, answer), strict=True)]
    entries = entries_of(answer)
    if count is None or count == 1 or (len(entries) == count and _is_series(answer)):
        return entries
    raise _not_rows(answer, count)


def _not_rows(answer: Any, count: int) -> UnusableOutput:
    return UnusableOutput(
        f"The model answered {describe_output(answer)} for {count} rows; this route wants one for each row. {_ELSEWHERE}"
    )


def describe_output(answer: Any) -> str:
    """Describe an output by its type and its length or content."""
    if isinstance(answer, pd.DataFrame):
        return f"a frame of {len(answer)} rows"
    if isinstance(answer, np.ndarray) and answer.ndim:
        return f"an array of the shape {list(answer.shape)} ({answer.dtype})"
    if isinstance(answer, (pd.Series, list, tuple)):
        return f"a {type(answer).__name__} of {len(answer)} {'value' if len(answer) == 1 else 'values'}"
    if isinstance(answer, Mapping):
        shown = [f"{name}: {describe_output(plain(value))}" for name, value in list(answer.items())[:_SHOWN]]
        return f"an object with {', '.join(shown)}{', …' if len(answer) > _SHOWN else ''}"
    text = repr(answer)
    return f"one value ({text if len(text) <= _WIDTH else text[: _WIDTH - 1] + '…'})"


def _of_columns(answer: Mapping[Any, Any], count: int | None) -> list[Any]:
    columns = {str(name): plain(values) for name, values in answer.items()}
    is_of_columns = all(_is_series(values) and len(values) == count for values in columns.values())
    if is_of_columns and columns and len(columns) == len(answer):
        return [dict(zip(columns, row, strict=True)) for row in zip(*map(entries_of, columns.values()), strict=True)]
    if count is None or count == 1:
        return [answer]
    raise _not_rows(answer, count)


def _is_of_outputs(answer: Sequence[Any], count: int) -> bool:
    """Tell whether it is several outputs of one value for each row, as of a network with several heads."""
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


def _is_series(values: Any) -> bool:
    """Tell whether it is a sequence of values."""
    if isinstance(values, np.ndarray):
        return values.ndim > 0
    return isinstance(values, (pd.Series, pd.DataFrame, list, tuple))
