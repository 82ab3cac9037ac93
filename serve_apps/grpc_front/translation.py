"""ModelInfer as a request of the V2 HTTP protocol, and its answer as ModelInfer's: tensors stay the bytes that they are."""

from __future__ import annotations

import json
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final

import numpy as np

from raylift.domain.errors import InvalidRequest
from serve_apps.grpc_front.messages import message
from serve_apps.model_server.codecs.open_inference.binary_tensors import SIZE, to_raw
from serve_apps.model_server.codecs.open_inference.datatypes import DTYPES

_CONTENTS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "BOOL": "bool_contents",
        **dict.fromkeys(("INT8", "INT16", "INT32"), "int_contents"),
        "INT64": "int64_contents",
        **dict.fromkeys(("UINT8", "UINT16", "UINT32"), "uint_contents"),
        "UINT64": "uint64_contents",
        "FP32": "fp32_contents",
        "FP64": "fp64_contents",
        "BYTES": "bytes_contents",
    }
)
"""The field of InferTensorContents that a datatype's values stand in; FP16 and BF16 have none."""
_BINARY: Final = frozenset({"binary_data", "binary_data_output"})
"""HTTP's own parameters: here everything is binary."""

_ModelInferResponse: Final = message("ModelInferResponse")


def http_body(request: Any) -> tuple[bytes, int]:
    """The body for ``POST …/infer``, and how many of its bytes are JSON.

    Raises:
        InvalidRequest: tensors and their contents do not fit together; the message says which.
    """
    pieces = _raw_pieces(request)
    inputs = [
        {
            "name": tensor.name,
            "shape": list(tensor.shape),
            "datatype": tensor.datatype,
            "parameters": {**_parameters(tensor), SIZE: len(piece)},
        }
        for tensor, piece in zip(request.inputs, pieces, strict=True)
    ]
    body: dict[str, Any] = {"inputs": inputs, "parameters": {**_parameters(request), "binary_data_output": True}}
    if request.id:
        body["id"] = request.id
    if request.outputs:
        body["outputs"] = [{"name": output.name, "parameters": _parameters(output)} for output in request.outputs]
    text = json.dumps(body).encode()
    return b"".join([text, *pieces]), len(text)


def grpc_answer(body: bytes, json_length: int) -> Any:
    """The ModelInferResponse of an answer of which every output is binary."""
    said = json.loads(body[:json_length])
    answer = _ModelInferResponse(
        model_name=said["model_name"], model_version=said.get("model_version", ""), id=said.get("id") or ""
    )
    at = json_length
    for output in said["outputs"]:
        answer.outputs.add(name=output["name"], datatype=output["datatype"], shape=output["shape"])
        size: int = output["parameters"][SIZE]
        answer.raw_output_contents.append(body[at : at + size])
        at += size
    return answer


def _raw_pieces(request: Any) -> list[bytes]:
    raw = request.raw_input_contents
    if not raw:
        return [_typed(tensor) for tensor in request.inputs]
    if len(raw) != len(request.inputs):
        raise InvalidRequest(f"There are {len(request.inputs)} inputs and {len(raw)} raw_input_contents: each needs its own.")
    for tensor in request.inputs:
        if tensor.HasField("contents"):
            raise InvalidRequest(f"The input {tensor.name} has contents, and there are raw_input_contents: use one of them.")
    return list(raw)


def _typed(tensor: Any) -> bytes:
    """The raw bytes of values that stand in ``contents``."""
    datatype = tensor.datatype
    field = _CONTENTS.get(datatype)
    if field is None:
        hint = "send it in raw_input_contents" if datatype in DTYPES else f"known are {', '.join(sorted(DTYPES))}"
        raise InvalidRequest(f"The input {tensor.name} has the datatype {datatype}, which contents have no field for: {hint}.")
    filled = [known.name for known, _ in tensor.contents.ListFields()]
    if filled not in ([], [field]):
        raise InvalidRequest(f"The input {tensor.name} is {datatype}: its values belong into {field}, not {', '.join(filled)}.")
    values = list(getattr(tensor.contents, field))
    try:
        array = np.array(values, dtype=DTYPES[datatype])
    except OverflowError as error:
        raise InvalidRequest(f"The input {tensor.name} has values that are not {datatype}: {error}.") from error
    return to_raw(array)


def _parameters(owner: Any) -> dict[str, Any]:
    given: dict[str, Any] = {}
    for name, parameter in owner.parameters.items():
        choice = parameter.WhichOneof("parameter_choice")
        if choice is not None and name not in _BINARY:
            given[name] = getattr(parameter, choice)
    return given
