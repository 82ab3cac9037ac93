"""Version 2 of the Open Inference Protocol: tensors in JSON, or as raw bytes after it (the binary extension), both ways."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, Final

from numpy.typing import NDArray

from raylift.domain.errors import InvalidRequest, PlatformError
from serve_apps.model_server.codecs.base import Headers, Response, error_object, unchanged
from serve_apps.model_server.codecs.open_inference import binary_tensors, type_hints
from serve_apps.model_server.codecs.open_inference.content_types import ARRAY, CONTENT_TYPE, FRAME, content_type_of, decoded
from serve_apps.model_server.codecs.open_inference.outputs import PREDICT, named_outputs, output_tensor
from serve_apps.model_server.codecs.open_inference.tensors import InputTensor, checked_object, input_tensor
from serve_apps.model_server.errors import MalformedBody
from serve_apps.model_server.inputs.params import checked_params
from serve_apps.model_server.inputs.tabular import Columns, Inputs, Raw, Rows, from_columns
from serve_apps.model_server.jsonify import dumps, loads
from serve_apps.model_server.model import Model, PredictionRequest, PredictionResult

PREDICT_PROBA: Final = "predict_proba"


class OpenInferenceCodec:
    def decode(self, body: bytes, headers: Headers, model: Model) -> PredictionRequest:
        text, raw = binary_tensors.split(body, headers.get(binary_tensors.JSON_LENGTH))
        request = loads(text)
        if not isinstance(request, dict) or not isinstance(request.get("inputs"), list):
            raise MalformedBody(
                'The body is not an inference request: write {"inputs": [{"name", "shape", "datatype", "data"}]}.'
            )
        if not request["inputs"]:
            raise InvalidRequest("The request has no input tensors.")
        tensors = [input_tensor(index, given, raw) for index, given in enumerate(request["inputs"])]
        raw.refuse_more()
        parameters = checked_object(request.get("parameters"), "parameters")
        requested = _requested(request.get("outputs"))
        return model.prediction_request(
            _inputs(tensors, parameters, model),
            unchanged,
            params=_params(parameters, model),
            predictions=not requested or PREDICT in requested or requested.keys() - {PREDICT_PROBA} != set(),
            probabilities=PREDICT_PROBA in requested,
            echo={"id": request.get("id"), "outputs": requested, "binary": parameters.get("binary_data_output") is True},
        )

    def encode(self, result: PredictionResult, request: PredictionRequest, model: Model) -> Response:
        arrays = dict(named_outputs(result.predictions)) if result.predictions is not None else {}
        if result.probabilities is not None:
            arrays[PREDICT_PROBA] = result.probabilities
        requested: Mapping[str, bool | None] = request.echo["outputs"] or dict.fromkeys(arrays)
        unknown = [name for name in requested if name not in arrays]
        if unknown:
            return self.error(InvalidRequest(f"The model has no output {', '.join(unknown)}; it has {', '.join(arrays)}."), "")
        by_default: bool = request.echo["binary"]
        outputs = [
            output_tensor(name, arrays[name], binary=by_default if is_binary is None else is_binary)
            for name, is_binary in requested.items()
        ]
        body = {"model_name": model.name, "model_version": model.version, "outputs": [output.entry for output in outputs]}
        if request.echo["id"] is not None:
            body["id"] = request.echo["id"]
        text = dumps(body)
        if not any(binary_tensors.SIZE in output.entry.get("parameters", ()) for output in outputs):
            return Response(200, text)
        raw = b"".join(output.raw for output in outputs)
        return Response(200, text + raw, binary_tensors.MEDIA_TYPE, {binary_tensors.JSON_LENGTH: str(len(text))})

    def error(self, error: PlatformError, path: str) -> Response:
        return error_object(error)


def _params(parameters: Mapping[str, Any], model: Model) -> Mapping[str, Any]:
    """The parameters that the model's signature declares. Others belong to the protocol or its clients."""
    if not any(parameter.name in parameters for parameter in model.declared_params):
        return {}
    return checked_params(parameters, model.declared_params, ignore_unknown=True)


def _inputs(tensors: Sequence[InputTensor], parameters: Mapping[str, Any], model: Model) -> Inputs:
    """One array if the request means one, else columns by name."""
    names = [tensor.name for tensor in tensors]
    repeated = next((name for name in names if names.count(name) > 1), None) if len(names) > len(set(names)) else None
    if repeated is not None:
        raise InvalidRequest(f"The tensor {repeated} is given twice.")
    content_type = _content_type(parameters, model)
    arrays = _decoded(tensors, content_type, model)
    if model.signature is not None and model.signature.from_type_hint:
        return Raw(type_hints.values_of(arrays, model.signature))
    if _is_array(tensors, content_type, model):
        array = arrays[tensors[0].name]
        array = array.reshape(-1, 1) if array.ndim == 1 and len(model.schema.columns) == 1 else array
        return Rows(array.tolist() if _has_nulls(tensors[0]) else array)
    if not model.schema.columns and model.schema.tensors and model.schema.tensors[0].name is not None:
        return Columns(arrays)
    columns: dict[str, Any] = {}
    for tensor in tensors:
        array = arrays[tensor.name]
        if array.ndim == 0 or (array.ndim > 1 and math.prod(array.shape[1:]) != 1):
            raise InvalidRequest(
                f"The tensor {tensor.name} has the shape {list(array.shape)}; as a column it is [n] or [n, 1]."
            )
        columns[tensor.name] = array.reshape(-1).tolist() if _has_nulls(tensor) else array.reshape(-1)
    return from_columns(columns)


def _content_type(parameters: Mapping[str, Any], model: Model) -> str | None:
    """Content type of the request, unless the model has a parameter of that name."""
    if any(parameter.name == CONTENT_TYPE for parameter in model.declared_params):
        return None
    return content_type_of(parameters, "The request")


def _decoded(tensors: Sequence[InputTensor], content_type: str | None, model: Model) -> dict[str, NDArray[Any]]:
    """The tensors' arrays by name, decoded by their own content type or the request's."""
    arrays: dict[str, NDArray[Any]] = {}
    types = {column.name: column.type for column in model.schema.columns}
    if model.signature is not None and model.signature.from_type_hint:
        types = type_hints.types_of([tensor.name for tensor in tensors], model.signature)
    has_no_types = not types and not model.schema.tensors
    for tensor in tensors:
        array = tensor.array
        if tensor.datatype == "BYTES" or CONTENT_TYPE in tensor.parameters:
            by_request = content_type if tensor.datatype == "BYTES" else None
            encoding = content_type_of(tensor.parameters, tensor.where) or by_request
            wanted = types.get(tensor.name)
            array = decoded(array, tensor.datatype, wanted, encoding, tensor.where, keeps_bytes=has_no_types)
        arrays[tensor.name] = array
    return arrays


def _has_nulls(tensor: InputTensor) -> bool:
    """Tell whether a tensor holds integers or booleans with nulls. They are passed as lists, as from JSON."""
    return tensor.array.dtype == object and tensor.datatype != "BYTES"


def _is_array(tensors: Sequence[InputTensor], content_type: str | None, model: Model) -> bool:
    if len(tensors) != 1 or FRAME in (content_type, tensors[0].parameters.get(CONTENT_TYPE)):
        return False
    if content_type == ARRAY and model.schema.columns:
        return True
    wanted = {column.name for column in model.schema.columns} | {tensor.name for tensor in model.schema.tensors}
    return tensors[0].name not in wanted


def _requested(outputs: Any) -> dict[str, bool | None]:
    """Requested outputs in order, and their ``binary_data``: None if not given."""
    if outputs is None:
        return {}
    if not isinstance(outputs, list):
        raise InvalidRequest("outputs is not a list.")
    requested: dict[str, bool | None] = {}
    for entry in outputs:
        output = checked_object(entry, "outputs")
        if not isinstance(output.get("name"), str):
            raise InvalidRequest("A requested output has no name.")
        binary = checked_object(output.get("parameters"), f"The parameters of the output {output['name']}").get("binary_data")
        requested[output["name"]] = binary if isinstance(binary, bool) else None
    return requested
