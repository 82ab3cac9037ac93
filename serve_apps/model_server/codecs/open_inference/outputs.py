"""A model's output as tensors of the Open Inference Protocol."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import orjson
import pandas as pd
from numpy.typing import NDArray

from serve_apps.model_server.codecs.open_inference import binary_tensors
from serve_apps.model_server.codecs.open_inference.datatypes import name_of
from serve_apps.model_server.errors import UnusableOutput
from serve_apps.model_server.inputs.column_type import LARGEST_EXACT
from serve_apps.model_server.jsonify import dumps
from serve_apps.model_server.outputs.tables import column_names, plain
from serve_apps.model_server.outputs.values import entries_of, listed

PREDICT = "predict"
"""Name of an output that the model does not name."""

_NUMBERS: Final = frozenset("biuf")


@dataclass(frozen=True, slots=True)
class OutputTensor:
    """An output tensor: its JSON, and its raw bytes if it is binary."""

    entry: dict[str, Any]
    raw: bytes = b""


def named_outputs(predictions: Any) -> list[tuple[str, NDArray[Any]]]:
    """Columns of a frame, arrays of a dict and fields of a record array as outputs; any other output as ``predict``.

    Raises:
        UnusableOutput: A frame has two columns of one name.
    """
    if isinstance(predictions, np.ndarray) and predictions.dtype.names is None:
        return [(PREDICT, np.atleast_1d(predictions))]
    answer = plain(predictions)
    if isinstance(answer, pd.DataFrame):
        return [(name, _tensor(answer.iloc[:, index])) for index, name in enumerate(column_names(answer))]
    if isinstance(answer, dict):
        return [(str(name), _tensor(values)) for name, values in answer.items()]
    if isinstance(answer, np.ndarray) and answer.dtype.names is not None:
        return [(name, np.atleast_1d(answer[name])) for name in answer.dtype.names]
    return [(PREDICT, _tensor(answer))]


def output_tensor(name: str, array: NDArray[Any], *, binary: bool) -> OutputTensor:
    """An entry of ``outputs``. Values of types that the protocol lacks become text.

    Raises:
        UnusableOutput: They have no form in JSON, or a value is missing in binary output.
    """
    if array.dtype.kind not in _NUMBERS:
        array = _by_value(array)
    elif array.itemsize > 8:
        array = array.astype(np.float64)
    datatype = "BOOL" if _are_booleans(array) else name_of(array.dtype)
    entry: dict[str, Any] = {"name": name, "shape": list(array.shape), "datatype": datatype}
    flat = array.reshape(-1)
    if not binary:
        values = listed(flat)
        return OutputTensor({**entry, "data": _texts(values, name) if datatype == "BYTES" else values})
    if flat.dtype.kind in "OU":
        flat = _raw_texts(flat, name)
    raw = binary_tensors.to_raw(flat)
    return OutputTensor({**entry, "parameters": {binary_tensors.SIZE: len(raw)}}, raw)


def _tensor(values: Any) -> NDArray[Any]:
    values = plain(values)
    if isinstance(values, pd.Series):
        values = values.to_numpy()
    if isinstance(values, np.ndarray):
        return np.atleast_1d(values)
    entries = [plain(entry) for entry in entries_of(values)]
    try:
        return np.array(entries, dtype=object)
    except ValueError:  # arrays of several lengths
        array = np.empty(len(entries), dtype=object)
        for index, entry in enumerate(entries):
            array[index] = entry
        return array


def _by_value(array: NDArray[Any]) -> NDArray[Any]:
    """Objects as an array of numbers if they are of one kind, NaN for missing ones; else as objects, None for missing ones."""
    if array.dtype.kind == "U":
        return array
    flat = np.empty(array.size, dtype=object)
    for index, value in enumerate(array.reshape(-1) if array.dtype.kind == "O" else listed(array.reshape(-1))):
        flat[index] = None if _is_missing(value) else value
    given = [value for value in flat if value is not None]
    kinds = {_kind(value) for value in given}
    if len(kinds) == 1 and kinds <= {np.bool_, np.integer} and len(given) == len(flat):
        typed = np.array(given)
        return (typed if typed.dtype.kind in "biu" else flat).reshape(array.shape)
    if (
        kinds
        and kinds <= {np.integer, np.floating}
        and all(abs(value) <= LARGEST_EXACT for value in given if _kind(value) is np.integer)
    ):
        return np.array([np.nan if value is None else value for value in flat], dtype=np.float64).reshape(array.shape)
    return flat.reshape(array.shape)


def _is_missing(value: Any) -> bool:
    return (
        value is None
        or value is pd.NA
        or value is pd.NaT
        or (isinstance(value, (float, np.floating)) and bool(np.isnan(value)))
    )


def _kind(value: Any) -> type:
    if isinstance(value, (bool, np.bool_)):
        return np.bool_
    if isinstance(value, (int, np.integer)):
        return np.integer
    return np.floating if isinstance(value, (float, np.floating)) else object


def _are_booleans(array: NDArray[Any]) -> bool:
    """Tell whether objects are booleans, with missing ones."""
    return array.dtype.kind == "O" and {_kind(value) for value in array.reshape(-1) if value is not None} == {np.bool_}


def _texts(values: Sequence[Any], name: str) -> list[str | None]:
    return [None if value is None else _text(value, name, row) for row, value in enumerate(values)]


def _text(value: Any, name: str, row: int) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, bytes):
        try:
            return value.decode()
        except UnicodeDecodeError:
            raise UnusableOutput(
                f"The output {name} has bytes that are no UTF-8 text at {row}: ask for raw bytes (binary_data)."
            ) from None
    form = dumps(value)
    text = orjson.loads(form)
    return text if isinstance(text, str) else form.decode()


def _raw_texts(flat: NDArray[Any], name: str) -> NDArray[Any]:
    texts = np.empty(flat.size, dtype=object)
    for row, value in enumerate(listed(flat)):
        if value is None:
            raise UnusableOutput(
                f"The output {name} has no value at {row}, which raw bytes cannot say: ask for JSON (binary_data: false)."
            )
        texts[row] = value if isinstance(value, bytes) else _text(value, name, row).encode()
    return texts
