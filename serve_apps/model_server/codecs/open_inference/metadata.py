"""Metadata and readiness of a model in the Open Inference Protocol."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from serve_apps.model_server.codecs.base import Response
from serve_apps.model_server.codecs.open_inference.codec import PREDICT_PROBA
from serve_apps.model_server.codecs.open_inference.datatypes import OF_COLUMN, name_of
from serve_apps.model_server.codecs.open_inference.outputs import PREDICT
from serve_apps.model_server.codecs.open_inference.type_hints import columns_of
from serve_apps.model_server.inputs.signature import Column, Tensor
from serve_apps.model_server.jsonify import dumps
from serve_apps.model_server.model import Model


def ready(model: Model) -> Response:
    return Response(200, dumps({"name": model.name, "ready": True}))


def metadata(model: Model) -> Response:
    """Name, version, outputs, and inputs as ``OpenInferenceCodec`` reads them."""
    body: dict[str, Any] = {
        "name": model.name,
        "versions": [model.version],
        "platform": f"mlflow_{model.predictor.flavor}",
        "inputs": [_column_metadata(column) for column in _columns(model)]
        or [_tensor_metadata(tensor, "input") for tensor in model.schema.tensors],
        "outputs": _outputs(model),
        "parameters": {
            "schema": {"source": model.origin.source, "disagreements": list(model.origin.disagreements)},
            "other_numerics": model.other_numerics,
        },
    }
    return Response(200, dumps(body))


def _columns(model: Model) -> Sequence[Column]:
    if model.signature is not None and model.takes_raw_inputs:
        return list(columns_of(model.signature))
    return model.schema.columns


def _column_metadata(column: Column) -> dict[str, Any]:
    # A column of unknown type is FP64, as most are; BYTES are accepted, too.
    datatype = "FP64" if column.type is None else OF_COLUMN.get(column.type, "BYTES")
    return {"name": column.name, "datatype": datatype, "shape": [-1]}


def _tensor_metadata(tensor: Tensor, name: str) -> dict[str, Any]:
    return {"name": tensor.name or name, "datatype": name_of(np.dtype(tensor.dtype)), "shape": list(tensor.shape)}


def _outputs(model: Model) -> list[dict[str, Any]]:
    signature = model.signature
    outputs: list[dict[str, Any]] = []
    if signature is not None and signature.output_columns:
        for column in signature.output_columns:
            outputs.append(_column_metadata(Column(column.name or PREDICT, column.type)))
    elif signature is not None and signature.output_tensors:
        outputs = [_tensor_metadata(tensor, PREDICT) for tensor in signature.output_tensors]
    elif model.classes is not None and model.predictor.predicts_labels:
        outputs = [{"name": PREDICT, "datatype": name_of(np.asarray(model.classes).dtype), "shape": [-1]}]
    else:
        outputs = [{"name": PREDICT, "datatype": "FP64", "shape": [-1]}]
    if model.classes is not None:
        outputs.append({"name": PREDICT_PROBA, "datatype": "FP64", "shape": [-1, len(model.classes)]})
    return outputs
