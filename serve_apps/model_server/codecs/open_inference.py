"""The Open Inference Protocol, version 2, in JSON. Its binary extension will be a second way to the same tensors."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from raylift.domain.errors import InvalidRequest, PlatformError
from serve_apps.model_server.codecs.base import Headers, Response
from serve_apps.model_server.conversion import describe_value
from serve_apps.model_server.errors import MalformedBody, status_of
from serve_apps.model_server.inputs import Columns, Inputs, Rows, from_columns
from serve_apps.model_server.jsonify import dumps, loads, natives
from serve_apps.model_server.model import Answer, Model, Question
from serve_apps.model_server.signature import Column, ColumnType, Tensor

PREDICT: Final = "predict"
PREDICT_PROBA: Final = "predict_proba"

_BINARY: Final = "inference-header-content-length"
"""The header of the binary extension: where JSON ends in the body and raw tensors begin."""

_DTYPES: Final[Mapping[str, np.dtype[Any]]] = MappingProxyType(
    {
        "BOOL": np.dtype(np.bool_),
        "FP16": np.dtype(np.float16),
        "FP32": np.dtype(np.float32),
        "FP64": np.dtype(np.float64),
        "BYTES": np.dtype(object),
    }
    | {f"{sign}INT{bits}": np.dtype(f"{sign.lower()}int{bits}") for sign in ("", "U") for bits in (8, 16, 32, 64)}
)
_NAMES: Final[Mapping[np.dtype[Any], str]] = MappingProxyType({dtype: name for name, dtype in _DTYPES.items()})
_COLUMN_DATATYPES: Final[Mapping[ColumnType, str]] = MappingProxyType(
    {
        ColumnType.BOOLEAN: "BOOL",
        ColumnType.INTEGER: "INT32",
        ColumnType.LONG: "INT64",
        ColumnType.FLOAT: "FP32",
        ColumnType.DOUBLE: "FP64",
    }
)


@dataclass(frozen=True, slots=True)
class InputTensor:
    """One tensor of a request, whichever way it was written."""

    name: str
    array: NDArray[Any]
    parameters: Mapping[str, Any]


class OpenInferenceCodec:
    def decode(self, body: bytes, headers: Headers, model: Model) -> Question:
        if _BINARY in headers:
            raise MalformedBody("Binary tensors are not supported yet: send the tensors as JSON (binary_data=False).")
        request = loads(body)
        if not isinstance(request, dict) or not isinstance(request.get("inputs"), list):
            raise MalformedBody(
                'The body is not an inference request: write {"inputs": [{"name", "shape", "datatype", "data"}]}.'
            )
        if not request["inputs"]:
            raise InvalidRequest("The request has no input tensors.")
        tensors = [_tensor(index, entry) for index, entry in enumerate(request["inputs"])]
        parameters = _object(request.get("parameters", {}), "parameters")
        requested = _requested(request.get("outputs"), model)
        return model.question(
            _inputs(tensors, parameters, model),
            _as_they_are,
            predictions=not requested or PREDICT in requested or requested.keys() - {PREDICT_PROBA} != set(),
            probabilities=PREDICT_PROBA in requested,
            echo={"id": request.get("id"), "outputs": list(requested)},
        )

    def encode(self, answer: Answer, question: Question, model: Model) -> Response:
        outputs: dict[str, dict[str, Any]] = {}
        if answer.predictions is not None:
            outputs |= {name: _output(name, values) for name, values in _named_outputs(answer.predictions)}
        if answer.probabilities is not None:
            outputs[PREDICT_PROBA] = _output(PREDICT_PROBA, np.asarray(answer.probabilities))
        wanted: list[str] = question.echo["outputs"] or list(outputs)
        unknown = [name for name in wanted if name not in outputs]
        if unknown:
            return self.error(InvalidRequest(f"The model has no output {', '.join(unknown)}; it has {', '.join(outputs)}."), "")
        body = {"model_name": model.name, "model_version": model.version, "outputs": [outputs[name] for name in wanted]}
        if question.echo["id"] is not None:
            body["id"] = question.echo["id"]
        return Response(200, dumps(body))

    def error(self, error: PlatformError, path: str) -> Response:
        status = status_of(error)
        # The protocol knows 400 for a request that is wrong in whatever way.
        return Response(400 if status == 422 else status, dumps({"error": error.detail}))


def ready(model: Model) -> Response:
    return Response(200, dumps({"name": model.name, "ready": True}))


def metadata(model: Model) -> Response:
    """Name, version, inputs and outputs. Inputs are as :class:`OpenInferenceCodec` takes them."""
    body: dict[str, Any] = {
        "name": model.name,
        "versions": [model.version],
        "platform": f"mlflow_{model.predictor.flavor}",
        "inputs": [_column_metadata(column) for column in model.schema.columns]
        or [_tensor_metadata(tensor, "input") for tensor in model.schema.tensors],
        "outputs": _outputs_metadata(model),
    }
    return Response(200, dumps(body))


def _tensor(index: int, entry: Any) -> InputTensor:
    where = f"inputs[{index}]"
    tensor = _object(entry, where)
    for name, kind in (("name", str), ("shape", list), ("datatype", str)):
        if not isinstance(tensor.get(name), kind):
            raise InvalidRequest(f"{where} has no {name}, or one that is no {'list' if kind is list else 'text'}.")
    shape: list[Any] = tensor["shape"]
    if not all(isinstance(length, int) and not isinstance(length, bool) and length >= 0 for length in shape):
        raise InvalidRequest(f"{where} has the shape {shape}: lengths are whole numbers.")
    dtype = _DTYPES.get(tensor["datatype"])
    if dtype is None:
        raise InvalidRequest(f"{where} has the datatype {tensor['datatype']}; known are {', '.join(sorted(_DTYPES))}.")
    if "data" not in tensor:
        raise InvalidRequest(f"{where} has no data.")
    return InputTensor(
        tensor["name"],
        _array(tensor["data"], dtype, shape, where),
        _object(tensor.get("parameters", {}), f"{where}.parameters"),
    )


def _array(data: Any, dtype: np.dtype[Any], shape: Sequence[int], where: str) -> NDArray[Any]:
    plain = _plain(data, dtype)
    if plain is not None and plain.size == math.prod(shape):
        return plain.reshape(tuple(shape))
    values = _flat(data)
    if len(values) != math.prod(shape):
        raise InvalidRequest(f"{where} has {len(values)} values; the shape {list(shape)} wants {math.prod(shape)}.")
    if dtype.kind == "f":
        values = [math.nan if value is None else value for value in values]
    if dtype.kind in "iufb" and any(isinstance(value, str) or value is None for value in values):
        raise InvalidRequest(f"{where} holds values that are not {_NAMES[dtype]}.")
    _refuse_lossy(values, dtype, where)
    try:
        if dtype.kind == "O":
            array = np.empty(len(values), dtype=object)
            array[:] = values
        else:
            array = np.array(values).astype(dtype, casting="same_kind") if dtype.kind in "f" else np.array(values, dtype=dtype)
    except (TypeError, ValueError, OverflowError) as error:
        raise InvalidRequest(f"{where} holds values that are not {_NAMES[dtype]}: {error}.") from None
    return array.reshape(tuple(shape))


def _plain(data: Any, dtype: np.dtype[Any]) -> NDArray[Any] | None:
    """Numbers that need no look one by one: floats where floats are wanted, integers where INT64 is. None for all others."""
    first = data
    while type(first) is list and first:
        first = first[0]
    if type(first) not in (float, int):
        return None
    try:
        array = np.array(data)
    except (ValueError, OverflowError):  # ragged, for one
        return None
    if dtype.kind == "f":
        return array.astype(dtype) if array.dtype.kind == "f" else None
    return array if array.dtype == dtype == np.int64 else None


def _refuse_lossy(values: Sequence[Any], dtype: np.dtype[Any], where: str) -> None:
    """NumPy would cut 1.5 off to 1, and call it true."""
    if dtype.kind in "iu":
        lossy = [value for value in values if isinstance(value, float) and not value.is_integer()]
    elif dtype.kind == "b":
        lossy = [value for value in values if value not in (0, 1)]
    else:
        return
    if lossy:
        raise InvalidRequest(f"{where} holds {describe_value(lossy[0])}, which is not {_NAMES[dtype]}.")


def _flat(data: Any) -> list[Any]:
    """The values of a tensor in row-major order, flat or nested as they come."""
    if not isinstance(data, list):
        return [data]
    while any(isinstance(item, list) for item in data):
        data = [value for item in data for value in (item if isinstance(item, list) else [item])]
    return data


def _inputs(tensors: Sequence[InputTensor], parameters: Mapping[str, Any], model: Model) -> Inputs:
    """One array where one is meant, else columns by name."""
    if _means_array(tensors, parameters, model):
        array = tensors[0].array
        return Rows(array.reshape(-1, 1) if array.ndim == 1 and len(model.schema.columns) == 1 else array)
    if not model.schema.columns and model.schema.tensors and model.schema.tensors[0].name is not None:
        return Columns({tensor.name: tensor.array for tensor in tensors})
    columns: dict[str, Any] = {}
    for tensor in tensors:
        array = tensor.array
        if array.ndim == 0 or (array.ndim > 1 and math.prod(array.shape[1:]) != 1):
            raise InvalidRequest(
                f"The tensor {tensor.name} has the shape {list(array.shape)}; as a column it is [n] or [n, 1]."
            )
        columns[tensor.name] = array.reshape(-1)
    return from_columns(columns)


def _as_they_are(inputs: Inputs) -> Inputs:
    return inputs


def _means_array(tensors: Sequence[InputTensor], parameters: Mapping[str, Any], model: Model) -> bool:
    if len(tensors) != 1 or "pd" in (parameters.get("content_type"), tensors[0].parameters.get("content_type")):
        return False
    wanted = {column.name for column in model.schema.columns} | {tensor.name for tensor in model.schema.tensors}
    return tensors[0].name not in wanted


def _requested(outputs: Any, model: Model) -> dict[str, Any]:
    if outputs is None:
        return {}
    if not isinstance(outputs, list):
        raise InvalidRequest("outputs is not a list.")
    names = {_object(entry, "outputs").get("name"): entry for entry in outputs}
    if not all(isinstance(name, str) for name in names):
        raise InvalidRequest("An output that is asked for has no name.")
    return {str(name): entry for name, entry in names.items()}


def _object(value: Any, where: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise InvalidRequest(f"{where} is not an object.")
    return value


def _named_outputs(predictions: Any) -> list[tuple[str, NDArray[Any]]]:
    """A frame's columns and a dict's arrays are outputs of their own; anything else is ``predict``."""
    if isinstance(predictions, pd.DataFrame):
        return [(str(name), predictions[name].to_numpy()) for name in predictions.columns]
    if isinstance(predictions, dict):
        return [(str(name), np.atleast_1d(np.asarray(values))) for name, values in predictions.items()]
    if isinstance(predictions, np.ndarray):
        return [(PREDICT, np.atleast_1d(predictions))]
    listed = natives(predictions)
    array = (
        np.asarray(listed) if all(isinstance(value, (bool, int, float, str)) for value in listed) else np.empty(0, dtype=object)
    )
    if array.dtype.kind not in "biufU" or array.shape != (len(listed),):
        array = np.empty(len(listed), dtype=object)
        array[:] = listed
    return [(PREDICT, array)]


def _output(name: str, array: NDArray[Any]) -> dict[str, Any]:
    datatype = _NAMES.get(array.dtype, "BYTES")
    values = natives(array.reshape(-1))
    if datatype == "BYTES":
        values = [_text(value) for value in values]
    return {"name": name, "shape": list(array.shape), "datatype": datatype, "data": values}


def _text(value: Any) -> str:
    if isinstance(value, str):
        return value
    return value.decode(errors="replace") if isinstance(value, bytes) else dumps(value).decode()


def _column_metadata(column: Column) -> dict[str, Any]:
    # A column of unknown type is called FP64: that is what most are, and BYTES are taken, too.
    datatype = "FP64" if column.type is None else _COLUMN_DATATYPES.get(column.type, "BYTES")
    return {"name": column.name, "datatype": datatype, "shape": [-1]}


def _tensor_metadata(tensor: Tensor, name: str) -> dict[str, Any]:
    return {"name": tensor.name or name, "datatype": _NAMES.get(np.dtype(tensor.dtype), "BYTES"), "shape": list(tensor.shape)}


def _outputs_metadata(model: Model) -> list[dict[str, Any]]:
    signature = model.signature
    outputs: list[dict[str, Any]] = []
    if signature is not None and signature.output_columns:
        for column in signature.output_columns:
            outputs.append(_column_metadata(Column(column.name or PREDICT, column.type)))
    elif signature is not None and signature.output_tensors:
        outputs = [_tensor_metadata(tensor, PREDICT) for tensor in signature.output_tensors]
    elif model.classes is not None and model.predictor.predicts_labels:
        outputs = [{"name": PREDICT, "datatype": _NAMES.get(np.asarray(model.classes).dtype, "BYTES"), "shape": [-1]}]
    else:
        outputs = [{"name": PREDICT, "datatype": "FP64", "shape": [-1]}]
    if model.classes is not None:
        outputs.append({"name": PREDICT_PROBA, "datatype": "FP64", "shape": [-1, len(model.classes)]})
    return outputs
