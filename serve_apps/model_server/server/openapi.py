"""OpenAPI document of a version, typed from its signature."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final

from raylift.api.paths import version_route
from serve_apps.model_server.inputs.column_type import ColumnType
from serve_apps.model_server.inputs.signature import Column, Parameter, Tensor
from serve_apps.model_server.jsonify import dumps
from serve_apps.model_server.loading.examples import example_requests
from serve_apps.model_server.model import Model

_JSON_TYPES: Final[Mapping[ColumnType, Mapping[str, Any]]] = {
    ColumnType.BOOLEAN: {"type": "boolean"},
    ColumnType.INTEGER: {"type": "integer", "format": "int32"},
    ColumnType.LONG: {"type": "integer", "format": "int64"},
    ColumnType.FLOAT: {"type": ["number", "null"], "format": "float"},
    ColumnType.DOUBLE: {"type": ["number", "null"], "format": "double"},
    ColumnType.STRING: {"type": ["string", "null"]},
    ColumnType.BINARY: {"type": "string", "contentEncoding": "base64"},
    ColumnType.DATETIME: {"type": ["string", "null"], "format": "date-time"},
    ColumnType.NESTED: {},
}
_OBJECT: Final = {"type": "object"}
_OF_CSV: Final = ("/predict", "/invocations")
_ANYTHING: Final[Mapping[str, Any]] = {}
"""Schema of MLflow's responses: a function's output to inputs that are no table may be anything."""


def document(model: Model) -> bytes:
    """The document as JSON. Its examples take some predictions of the model."""
    examples = example_requests(model)
    paths = {
        "": {"get": _operation("metadata", "Name, inputs and outputs (Open Inference Protocol)", _OBJECT)},
        "/predict": {
            "post": _operation(
                "predict", "Predict", _prediction(model), _request(model), ("400", "413", "422", "500"), examples
            )
        },
        "/infer": {
            "post": _operation(
                "infer", "Predict (Open Inference Protocol V2)", _OBJECT, _infer(model), ("400", "413", "500"), examples
            )
        },
        "/invocations": {
            "post": _operation("invocations", "Predict (MLflow scoring)", _ANYTHING, _OBJECT, ("400", "413", "415"), examples)
        },
        "/ready": {"get": _operation("ready", "Whether the model is loaded (Open Inference Protocol)", _OBJECT)},
    }
    for route in _OF_CSV:
        paths[route]["post"]["requestBody"]["content"]["text/csv"] = {"schema": {"type": "string"}}
    return dumps(
        {
            "openapi": "3.1.0",
            "info": {
                "title": model.name,
                "version": model.version,
                "description": f"Version {model.version} of the model {model.name}.",
            },
            "servers": [{"url": version_route(model.name, model.version)}],
            "paths": {path or "/": item for path, item in paths.items()},
        }
    )


def _operation(
    name: str,
    summary: str,
    answer: Mapping[str, Any],
    body: Mapping[str, Any] | None = None,
    errors: tuple[str, ...] = (),
    examples: Mapping[str, Any] = MappingProxyType({}),
) -> dict[str, Any]:
    operation: dict[str, Any] = {
        "operationId": name,
        "summary": summary,
        "responses": {"200": {"description": "The answer.", "content": {"application/json": {"schema": dict(answer)}}}}
        | {status: {"description": "What is wrong."} for status in errors},
    }
    if body is not None:
        content = {"schema": body} | ({"example": examples[f"/{name}"]} if f"/{name}" in examples else {})
        operation["requestBody"] = {"required": True, "content": {"application/json": content}}
    return operation


def _request(model: Model) -> dict[str, Any]:
    properties: dict[str, Any] = {"inputs": _inputs(model), "return_probabilities": {"type": "boolean", "default": False}}
    params = _params(model)
    if params:
        properties["params"] = {"type": "object", "properties": params, "additionalProperties": False}
    return {"type": "object", "required": ["inputs"], "properties": properties}


def _params(model: Model) -> dict[str, Any]:
    return {parameter.name: _parameter(parameter) for parameter in model.declared_params}


def _inputs(model: Model) -> dict[str, Any]:
    columns = [column for column in model.schema.columns if column.name is not None]
    if columns:
        return {"anyOf": [_by_column(columns), _by_record(columns), _by_row(len(columns))]}
    tensors = model.schema.tensors
    if len(tensors) == 1 and tensors[0].name is None:
        width = tensors[0].shape[1] if len(tensors[0].shape) > 1 else -1
        return {
            "anyOf": [
                _by_row(width),
                {"type": "object", "description": "Columns, taken in the order given."},
                {"type": "array", "items": _OBJECT},
            ]
        }
    if tensors:
        return {
            "type": "object",
            "required": [tensor.name for tensor in tensors],
            "properties": {str(tensor.name): _tensor(tensor) for tensor in tensors},
        }
    return {}


def _by_column(columns: list[Column]) -> dict[str, Any]:
    properties = {
        str(column.name): {"anyOf": [{"type": "array", "items": _json_type(column)}, _json_type(column)]} for column in columns
    }
    return {
        "type": "object",
        "title": "Columns",
        "properties": properties,
        "required": _required(columns),
        "additionalProperties": False,
    }


def _by_record(columns: list[Column]) -> dict[str, Any]:
    properties = {str(column.name): _json_type(column) for column in columns}
    record = {"type": "object", "properties": properties, "required": _required(columns), "additionalProperties": False}
    return {"type": "array", "title": "Records", "items": record}


def _by_row(width: int) -> dict[str, Any]:
    row: dict[str, Any] = {"type": "array"}
    if width > 0:
        row |= {"minItems": width, "maxItems": width}
    return {"type": "array", "title": "Rows", "items": row}


def _required(columns: list[Column]) -> list[str]:
    return [str(column.name) for column in columns if column.required]


def _json_type(column: Column) -> dict[str, Any]:
    return dict(_JSON_TYPES[column.type]) if column.type is not None else {}


def _tensor(tensor: Tensor) -> dict[str, Any]:
    return {"type": "array", "description": f"{tensor.dtype} of shape {list(tensor.shape)}"}


def _parameter(parameter: Parameter) -> dict[str, Any]:
    kind = dict(_JSON_TYPES[parameter.type])
    return ({"type": "array", "items": kind} if parameter.is_list else kind) | {"default": parameter.default}


def _prediction(model: Model) -> dict[str, Any]:
    properties: dict[str, Any] = {
        "model_name": {"type": "string", "const": model.name},
        "model_version": {"type": "string", "const": model.version},
        "predictions": {"type": "array", "description": "One entry a row."},
        "inference_time_ms": {"type": "number"},
    }
    if model.classes is not None:
        properties["probabilities"] = {"type": "array", "items": {"type": "array", "items": {"type": "number"}}}
        properties["classes"] = {"type": "array", "const": list(model.classes)}
    return {
        "type": "object",
        "required": ["model_name", "model_version", "predictions", "inference_time_ms"],
        "properties": properties,
    }


def _infer(model: Model) -> dict[str, Any]:
    tensor = {
        "type": "object",
        "required": ["name", "shape", "datatype", "data"],
        "properties": {
            "name": {"type": "string"},
            "shape": {"type": "array", "items": {"type": "integer"}},
            "datatype": {"type": "string"},
            "data": {"type": "array"},
        },
    }
    return {
        "type": "object",
        "required": ["inputs"],
        "properties": {
            "id": {"type": "string"},
            "inputs": {"type": "array", "items": tensor},
            "parameters": {"type": "object", "properties": _params(model)},
        },
    }
