"""MLflow's scoring protocol: ``/invocations``, ``/ping``, ``/health`` and ``/version``.

Responses equal those of ``mlflow models serve``, without its stack traces and with null for NaN. A Python function gets exactly
the data that MLflow would pass to it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from io import BytesIO
from typing import Any, Final

import numpy as np
import pandas as pd

from raylift.domain.errors import InvalidRequest, PlatformError, TooLarge
from serve_apps.model_server.codecs.base import Headers, Response
from serve_apps.model_server.codecs.mlflow_rows import fast_rows
from serve_apps.model_server.codecs.mlflow_values import (
    FORMATS,
    NotCompatible,
    parse_payload,
    plain_payload,
    refuse_repeated_columns,
)
from serve_apps.model_server.errors import (
    InputsRefused,
    MalformedBody,
    MethodNotAllowed,
    PredictionFailed,
    UnsupportedContent,
    WrongInputs,
)
from serve_apps.model_server.inputs.column_type import ColumnType
from serve_apps.model_server.inputs.column_values.conversion import convert
from serve_apps.model_server.inputs.csv.from_text import columns_from_csv
from serve_apps.model_server.inputs.documents import Records
from serve_apps.model_server.inputs.params import checked_params
from serve_apps.model_server.inputs.tabular import Columns, Inputs, Rows, from_columns, from_records, not_tabular
from serve_apps.model_server.inputs.values import Mistyped, Values
from serve_apps.model_server.jsonify import dumps, loads
from serve_apps.model_server.model import Model, PredictionRequest, PredictionResult
from serve_apps.model_server.outputs.tables import plain
from serve_apps.model_server.outputs.values import entries_of

_ONE_OF: Final = f"The input must be a JSON dictionary with exactly one of the input fields {set(FORMATS)}"
PARQUET: Final = "application/vnd.apache.parquet"
_LLM_KEYS: Final = ("messages", "prompt", "input")
_EVALUATION: Final = (
    "Encountered an unexpected error while evaluating the model. Verify that the serialized input Dataframe is compatible with"
    " the model for inference."
)


class ScoringCodec:
    def decode(self, body: bytes, headers: Headers, model: Model) -> PredictionRequest:
        media_type = _media_type(headers.get("content-type", ""))
        return _READERS[media_type](body, model)

    def encode(self, result: PredictionResult, request: PredictionRequest, model: Model) -> Response:
        predictions = _jsonable(result.predictions)
        return Response(200, dumps(predictions if request.echo.get("unwrapped") else {"predictions": predictions}))

    def error(self, error: PlatformError, path: str) -> Response:
        if isinstance(error, UnsupportedContent):
            return Response(415, error.detail.encode(), "text/plain")
        if isinstance(error, MethodNotAllowed):
            return Response(405, dumps({"detail": "Method Not Allowed"}))
        if isinstance(error, TooLarge):
            return _mlflow_error(413, "BAD_REQUEST", error.detail)
        if isinstance(error, WrongInputs):
            return _mlflow_error(400, "INVALID_PARAMETER_VALUE", f"Failed to enforce schema of the data. Error: {error.detail}")
        if isinstance(error, (InputsRefused, PredictionFailed)):
            # MLflow's own errors have a code.
            return _mlflow_error(400, getattr(error.__cause__, "error_code", "BAD_REQUEST"), f"{_EVALUATION} {error.detail}")
        if isinstance(error, (MalformedBody, InvalidRequest)):
            return _mlflow_error(400, "BAD_REQUEST", f"Invalid input. {error.detail}")
        return _mlflow_error(500, "INTERNAL_ERROR", error.detail)


def health() -> Response:
    return Response(200, b"\n")


def version(model: Model) -> Response:
    return Response(200, model.mlflow_version.encode())


def _media_type(content_type: str) -> str:
    media_type, *rest = (part.strip() for part in content_type.split(";"))
    given = {
        key.strip().lower(): value.strip().strip('"').lower()
        for key, _, value in (part.partition("=") for part in rest if part)
    }
    if given.pop("charset", "utf-8") != "utf-8":
        raise UnsupportedContent("The scoring server only supports UTF-8")
    if given:
        raise UnsupportedContent(f"Unrecognized content type parameters: {', '.join(given)}.")
    if media_type.lower() not in _READERS:
        raise UnsupportedContent(
            f"This predictor only supports the following content types: Types: {list(_READERS)}. Got '{content_type}'."
        )
    return media_type.lower()


def _read_csv(body: bytes, model: Model) -> PredictionRequest:
    columns = columns_from_csv(body, model.schema)
    if not model.is_function:
        return _tabular_request(columns, None, model)
    known = {column.name: column.type for column in model.schema.columns}
    try:
        frame = pd.DataFrame({name: _converted(values, known.get(name)) for name, values in columns.values.items()})
    except Mistyped:
        # MLflow enforces the signature, with its own error.
        frame = pd.DataFrame(columns.values)
    return _tabular_request(frame, None, model)


def _converted(values: Values, wanted: ColumnType | None) -> Any:
    return values if wanted is None else convert(values, wanted)


def _read_parquet(body: bytes, model: Model) -> PredictionRequest:
    try:
        frame = pd.read_parquet(BytesIO(body))
    except (ValueError, OSError) as error:  # pyarrow's errors are subclasses
        raise MalformedBody(
            "Failed to parse input as a Pandas DataFrame. Ensure that the input is a valid Parquet-formatted Pandas DataFrame"
            f" produced using the `pandas.DataFrame.to_parquet()` method. Error: '{error}'"
        ) from None
    return _tabular_request(frame, None, model)


def _read_json(body: bytes, model: Model) -> PredictionRequest:
    document = loads(body)
    if not isinstance(document, dict):
        raise MalformedBody(f"{_ONE_OF}. Received {'a list' if isinstance(document, list) else 'something else'}.")
    if model.is_function and any(key in document for key in _LLM_KEYS):
        return _chat(document, model)
    data = {key: value for key, value in document.items() if key in FORMATS}
    if len(data) != 1:
        raise MalformedBody(f"{_ONE_OF}. Received dictionary with input fields: {list(document)}.")
    ((form, payload),) = data.items()
    if model.takes_raw_inputs:
        if form != "inputs":
            raise MalformedBody("The model has a type hint: the request must be a dictionary with the key 'inputs'.")
        return PredictionRequest(payload, _params(document.get("params"), model))
    if isinstance(model.schema, Records) and isinstance(payload, list) and all(isinstance(record, dict) for record in payload):
        # A frame would have NaN for absent fields.
        return _tabular_request(from_records(payload), document.get("params"), model)
    params = _params(document.get("params"), model)
    array = fast_rows(form, payload, params, model)
    if array is not None:
        return PredictionRequest(array, params, is_array=True, raw=payload if model.transforms else None)
    try:
        data = parse_payload(form, payload, model.signature) if model.is_function else plain_payload(form, payload, model)
        return _tabular_request(data, document.get("params"), model)
    except NotCompatible as error:
        raise MalformedBody(str(error)) from None


def _chat(document: Mapping[str, Any], model: Model) -> PredictionRequest:
    """A chat, completion or embedding request. MLflow passes it unwrapped and returns the output unwrapped."""
    declared = {parameter.name for parameter in model.declared_params}
    params = {key: value for key, value in document.items() if key in declared}
    return PredictionRequest(
        {key: value for key, value in document.items() if key not in declared}, params, echo={"unwrapped": True}
    )


def _tabular_request(data: Any, params: Any, model: Model) -> PredictionRequest:
    if isinstance(data, pd.DataFrame):
        refuse_repeated_columns(data.columns)
    if model.is_function:
        # MLflow itself enforces its signature.
        return PredictionRequest(data, _params(params, model))
    signature = model.signature
    try:
        batch = model.schema.batch(_inputs(data), ignore_unexpected=signature is not None and bool(signature.columns))
    except WrongInputs as error:
        if signature is not None:
            raise
        # Without a signature MLflow enforces nothing: the model would refuse these inputs.
        raise InputsRefused(error.detail, error.errors) from None
    return PredictionRequest(batch, _params(params, model))


def _params(params: Any, model: Model) -> dict[str, Any]:
    return checked_params({} if params is None else params, model.declared_params, ignore_unknown=True)


def _inputs(data: Any) -> Inputs:
    if isinstance(data, Columns):
        return data
    if isinstance(data, pd.DataFrame):
        if isinstance(data.columns, pd.RangeIndex) and len(data):
            return Rows([list(row) for row in data.itertuples(index=False)])
        return Columns({str(name): data.iloc[:, index].to_numpy() for index, name in enumerate(data.columns)})
    if isinstance(data, dict):
        return from_columns(data)
    if isinstance(data, list) and data and all(isinstance(record, dict) for record in data):
        return from_records(data)
    if isinstance(data, list) or (isinstance(data, np.ndarray) and data.ndim > 0):
        return Rows(data)
    raise not_tabular()


def _jsonable(predictions: Any) -> Any:
    """The output in the form of MLflow's server."""
    predictions = plain(predictions)
    if isinstance(predictions, pd.Series):
        predictions = pd.DataFrame(predictions)
    if isinstance(predictions, np.ndarray) and predictions.ndim == 0:
        return predictions[()]
    return entries_of(predictions) if isinstance(predictions, (np.ndarray, pd.DataFrame)) else predictions


def _mlflow_error(status: int, code: str, message: str) -> Response:
    return Response(status, dumps({"error_code": code, "message": message}))


_READERS: Final[Mapping[str, Callable[[bytes, Model], PredictionRequest]]] = {
    "text/csv": _read_csv,
    "application/json": _read_json,
    PARQUET: _read_parquet,
}
