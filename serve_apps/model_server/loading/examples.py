"""Requests that the version's document prints as examples, because they work.

They come from the input example logged with the model, else from its schema. Each is decoded and predicted. Python functions
are not called, since they may have side effects. Requests that fail are not printed.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

import numpy as np

from raylift.domain.errors import PlatformError
from serve_apps.model_server.codecs.base import Codec
from serve_apps.model_server.codecs.mlflow_scoring import ScoringCodec
from serve_apps.model_server.codecs.open_inference.codec import OpenInferenceCodec
from serve_apps.model_server.codecs.open_inference.datatypes import OF_COLUMN, name_of
from serve_apps.model_server.codecs.raylift import RayliftCodec
from serve_apps.model_server.inputs.column_type import ColumnType
from serve_apps.model_server.inputs.signature import Column, Tensor
from serve_apps.model_server.jsonify import dumps
from serve_apps.model_server.model import Model

_log = logging.getLogger(__name__)

_MAX_FILE_BYTES: Final = 256 * 1024
"""Limit of a logged example: larger ones are whole data sets and would slow every load."""
_JSON: Final = MappingProxyType({"content-type": "application/json"})
_VALUES: Final[Mapping[ColumnType | None, Any]] = {
    None: 0.5,
    ColumnType.BOOLEAN: True,
    ColumnType.INTEGER: 1,
    ColumnType.LONG: 1,
    ColumnType.FLOAT: 0.5,
    ColumnType.DOUBLE: 0.5,
    ColumnType.STRING: "text",
    ColumnType.BINARY: "AA==",
    ColumnType.DATETIME: "2026-01-31T12:00:00",
}
"""A value of each type. NESTED has none that every model takes."""

Inputs = Any
"""One row in the platform's protocol: columns or rows."""


def logged_example(directory: Path, mlmodel: Mapping[str, Any]) -> Any:
    """Body of MLflow's scoring protocol that was logged with a model; None without one."""
    name = (mlmodel.get("saved_input_example_info") or {}).get("serving_input_path")
    path = directory / name if isinstance(name, str) else None
    if path is None or not path.is_file() or path.stat().st_size > _MAX_FILE_BYTES:
        return None
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        _log.info("The input example %s is not read: %s", name, error)
        return None


def example_requests(model: Model) -> dict[str, Any]:
    """A working body for each route (``/predict``, ``/infer``, ``/invocations``) that has one."""
    routes: dict[str, tuple[Codec, Callable[[Inputs, Model], Any]]] = {
        "/predict": (RayliftCodec(), _own),
        "/infer": (OpenInferenceCodec(), _tensors),
        "/invocations": (ScoringCodec(), _scoring),
    }
    printed: dict[str, Any] = {}
    for route, (codec, written) in routes.items():
        candidates = (written(row, model) for row in rows_to_try(model))
        found = next((body for body in candidates if body is not None and _works(model, codec, body)), None)
        if found is not None:
            printed[route] = found
    if "/invocations" not in printed and model.example is not None and _works(model, ScoringCodec(), model.example):
        # A body that is no table, such as a chat's messages.
        printed["/invocations"] = model.example
    return printed


def _works(model: Model, codec: Codec, body: Any) -> bool:
    try:
        request = codec.decode(dumps(body), _JSON, model)
    except PlatformError:
        return False
    return model.is_function or model.accepts(request)


def rows_to_try(model: Model) -> Iterator[Inputs]:
    """Candidates of one row, the likeliest first."""
    logged = _first_row(model.example)
    if logged is not None:
        yield logged
    columns = [column for column in model.schema.columns if column.required] or list(model.schema.columns)
    if columns:
        values = [_VALUES.get(column.type) for column in columns]
        if None not in values:
            named = all(column.name is not None for column in columns)
            yield {str(column.name): [value] for column, value in zip(columns, values, strict=True)} if named else [values]
    elif tensors := model.schema.tensors:
        arrays = [_zeros(tensor) for tensor in tensors]
        if None not in arrays:
            yield arrays[0] if tensors[0].name is None else {str(t.name): a for t, a in zip(tensors, arrays, strict=True)}


def _first_row(example: Any) -> Inputs | None:
    """First row of a scoring body that is a table."""
    if not isinstance(example, dict):
        return None
    split = example.get("dataframe_split")
    if isinstance(split, dict) and split.get("data"):
        row = split["data"][0]
        names = split.get("columns")
        if names is None or not all(isinstance(name, str) for name in names):
            return [row]
        return {name: [value] for name, value in zip(names, row, strict=True)}
    inputs = example.get("inputs")
    if isinstance(inputs, dict) and inputs and all(isinstance(values, list) for values in inputs.values()):
        return {name: values[:1] for name, values in inputs.items()}
    return inputs[:1] if isinstance(inputs, list) and inputs else None


def _zeros(tensor: Tensor) -> list[Any] | None:
    """One row of a tensor; None if its width is unknown."""
    if -1 in tensor.shape[1:]:
        return None
    kind = np.dtype(tensor.dtype).kind
    shape = (1, *tensor.shape[1:])
    if kind in "US":
        return np.full(shape, "text").tolist()
    return np.zeros(shape, dtype=tensor.dtype).tolist() if kind in "biuf" else None


def _own(row: Inputs, model: Model) -> Any:
    return {"inputs": row, **_params(model)}


def _scoring(row: Inputs, model: Model) -> Any:
    if isinstance(row, list):
        return {"inputs": row, **_params(model)}
    if model.schema.tensors:
        return {"inputs": row, **_params(model)}
    # MLflow finds columns by their label in the frame, which may be a number.
    labels = {column.name: column.label for column in model.schema.columns}
    split = {"columns": [labels.get(name, name) for name in row], "data": [[values[0] for values in row.values()]]}
    return {"dataframe_split": split, **_params(model)}


def _params(model: Model) -> dict[str, Any]:
    given = {parameter.name: parameter.default for parameter in model.declared_params if parameter.default is not None}
    return {"params": given} if given else {}


def _tensors(row: Inputs, model: Model) -> Any:
    columns: Mapping[str | None, Column] = {column.name: column for column in model.schema.columns}
    tensors: Mapping[str | None, Tensor] = {tensor.name: tensor for tensor in model.schema.tensors}
    named: Mapping[str, Sequence[Any]] = row if isinstance(row, dict) else {"input": row}
    written: list[dict[str, Any]] = []
    for name, values in named.items():
        array = np.asarray(values, dtype=object)
        tensor = tensors.get(name, tensors.get(None))
        if name in columns and columns[name].type is not None:
            datatype = OF_COLUMN.get(columns[name].type or ColumnType.NESTED, "BYTES")
        else:
            datatype = name_of(np.dtype(tensor.dtype)) if tensor is not None else name_of(np.asarray(values).dtype)
        written.append({"name": name, "shape": list(array.shape), "datatype": datatype, "data": array.reshape(-1).tolist()})
    return {"inputs": written}
