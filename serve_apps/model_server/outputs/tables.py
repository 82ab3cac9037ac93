"""Outputs of other libraries (sparse matrices, tensors, Arrow, Polars) as types of NumPy, pandas and Python."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from serve_apps.model_server.errors import UnusableOutput

_KNOWN = (np.ndarray, np.generic, pd.DataFrame, pd.Series, dict, list, tuple, str, bytes, int, float, type(None))


def plain(answer: Any) -> Any:
    """The output as an array, a frame, a series, a dict, a list or tuple, or one value."""
    if isinstance(answer, _KNOWN):
        return answer
    if isinstance(answer, (pd.Index, pd.api.extensions.ExtensionArray)):
        return pd.Series(answer)
    if isinstance(answer, Mapping):
        return dict(answer)
    for of_library in (_sparse, _tensor, _arrow, _polars, _array):
        known = of_library(answer)
        if known is not None:
            return known
    if isinstance(answer, (Iterator, Iterable)) and not hasattr(answer, "model_dump"):
        return list(answer)
    return answer


def column_names(frame: pd.DataFrame) -> list[str]:
    """Names of a frame's columns as text.

    Raises:
        UnusableOutput: Two columns have one name.
    """
    names = [str(name) for name in frame.columns]
    if len(set(names)) < len(names):
        repeated = next(name for name in names if names.count(name) > 1)
        raise UnusableOutput(
            f"The model answered a frame with {names.count(repeated)} columns of the same name, {repeated}: rename them."
        )
    return names


def _sparse(answer: Any) -> Any:
    return answer.toarray() if hasattr(answer, "toarray") else None


def _tensor(answer: Any) -> Any:
    if hasattr(answer, "detach"):  # PyTorch
        tensor = answer.detach().cpu()
        try:
            return tensor.numpy()
        except TypeError:  # bfloat16; float32 holds all its values
            return tensor.float().numpy()
    return answer.numpy() if callable(getattr(answer, "numpy", None)) else None  # TensorFlow


def _arrow(answer: Any) -> Any:
    if not hasattr(answer, "to_pylist"):
        return None
    if hasattr(answer, "column_names"):
        return _frame(answer.column_names, [column.to_pylist() for column in answer.columns])
    return answer.to_pylist()


def _polars(answer: Any) -> Any:
    if not type(answer).__module__.startswith("polars."):
        return None
    if hasattr(answer, "collect"):
        answer = answer.collect()
    if hasattr(answer, "get_columns"):
        return _frame(answer.columns, [column.to_list() for column in answer.get_columns()])
    return answer.to_list() if hasattr(answer, "to_list") else None


def _array(answer: Any) -> Any:
    return np.asarray(answer) if hasattr(answer, "__array__") else None


def _frame(names: Sequence[str], columns: Sequence[list[Any]]) -> pd.DataFrame:
    """A frame of objects: integers beside missing values stay integers."""
    frame = pd.DataFrame({index: pd.Series(values, dtype=object) for index, values in enumerate(columns)})
    frame.columns = list(names)
    return frame
