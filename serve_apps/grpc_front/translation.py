"""Translates ModelInfer to the V2 HTTP protocol and its answer back. Tensors stay raw bytes."""

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
"""Field of InferTensorContents by datatype. FP16 and BF16 have none."""
_BINARY: Final = frozenset({"binary_data", "binary_data_output"})
"""Parameters that only HTTP has: gRPC is always binary."""

_ModelInferResponse: Final = message("ModelInferResponse")


def http_body(request: Any) -> tuple[bytes, int]:
    """Body for ``POST …/infer``, and the length of its JSON in bytes.

    Raises:
        InvalidRequest: Tensors and contents do not match; the message names the tensor.
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
    """ModelInferResponse of an answer with binary outputs."""
    document = json.loads(body[:json_length])
    answer = _ModelInferResponse(
        model_name=document["model_name"], model_version=document.get("model_version", ""), id=document.get("id") or ""
    )
    start = json_length
    for output in document["outputs"]:
        answer.outputs.add(name=output["name"], datatype=output["datatype"], shape=output["shape"])
        size: int = output["parameters"][SIZE]
        answer.raw_output_contents.append(body[start : start + size])
        start += size
    return answer


def _raw_pieces(request: Any) -> list[bytes]:
    raw = request.raw_input_contents
    if not raw:
        return [_raw(tensor) for tensor in request.inputs]
    if len(raw) != len(request.inputs):
        raise InvalidRequest(f"There are {len(request.inputs)} inputs and {len(raw)} raw_input_contents: each needs its own.")
    for tensor in request.inputs:
        if tensor.HasField("contents"):
            raise InvalidRequest(f"The input {tensor.name} has contents, and there are raw_input_contents: use one of them.")
    return list(raw)


def _raw(tensor: Any) -> bytes:
    """Raw bytes of the values in ``contents``."""
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
    parameters: dict[str, Any] = {}
    for name, parameter in owner.parameters.items():
        choice = parameter.WhichOneof("parameter_choice")
        if choice is not None and name not in _BINARY:
            parameters[name] = getattr(parameter, choice)
    return parameters
