"""The platform's own protocol: the body of ``POST /mlops/inference`` (schema: raylift.api.inference)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final
from urllib.parse import parse_qsl

from raylift.api.headers import NAMED
from raylift.domain.errors import FieldError, InvalidRequest, PlatformError
from raylift.ingress.problems import PROBLEM_JSON, problem_of
from serve_apps.model_server.codecs.base import Headers, Response, unchanged
from serve_apps.model_server.errors import MalformedBody, status_of
from serve_apps.model_server.inputs.csv.from_text import columns_from_csv
from serve_apps.model_server.inputs.documents import Records, SingleValues
from serve_apps.model_server.inputs.params import checked_params
from serve_apps.model_server.inputs.schema import Anything
from serve_apps.model_server.inputs.tabular import (
    Inputs,
    Raw,
    Rows,
    from_columns,
    from_records,
    from_rows,
    not_tabular,
    refuse_ragged,
    require_table,
)
from serve_apps.model_server.jsonify import dumps, loads
from serve_apps.model_server.model import Model, PredictionRequest, PredictionResult
from serve_apps.model_server.outputs.rows import row_count, rows_of
from serve_apps.model_server.outputs.values import listed

_FIELDS: Final = ("model_name", "model_version", "alias", "inputs", "return_probabilities", "params")
# The ingress or the gateway reads model_name, model_version and alias.
_NAMED: Final = NAMED.lower()
_KNOWN: Final = frozenset(_FIELDS)
_IN_QUERY: Final = ("model_name", "model_version", "alias", "return_probabilities")
_TRUE_OR_FALSE: Final = {"true": True, "false": False}


class RayliftCodec:
    def __init__(self, query: str = "") -> None:
        """``query`` of the URL has the fields of a CSV request other than ``inputs``."""
        self._query = query

    def decode(self, body: bytes, headers: Headers, model: Model) -> PredictionRequest:
        if is_csv(headers.get("content-type", "")):
            return self._decode_csv(body, model)
        request = loads(body)
        if not isinstance(request, dict):
            raise MalformedBody('The body is not a JSON object: write {"inputs": …}.')
        if _NAMED in headers:
            _check_name(request, model)
        _check_fields(request)
        return model.prediction_request(
            request["inputs"],
            lambda inputs: tabular(inputs, model),
            params=checked_params(request.get("params", {}), model.declared_params),
            probabilities=request.get("return_probabilities", False),
        )

    def _decode_csv(self, body: bytes, model: Model) -> PredictionRequest:
        probabilities = _probabilities_in(parse_qsl(self._query, keep_blank_values=True))
        return model.prediction_request(columns_from_csv(body, model.schema), unchanged, probabilities=probabilities)

    def encode(self, result: PredictionResult, request: PredictionRequest, model: Model) -> Response:
        body: dict[str, Any] = {
            "model_name": model.name,
            "model_version": model.version,
            "predictions": rows_of(result.predictions, requested_rows(request, model)),
            "inference_time_ms": round(result.seconds * 1000, 3),
        }
        if result.probabilities is not None:
            body["probabilities"] = listed(result.probabilities)
            body["classes"] = list(model.classes or ())
        return Response(200, dumps(body))

    def error(self, error: PlatformError, path: str) -> Response:
        return problem(error, path)


def is_csv(content_type: str) -> bool:
    return content_type[:8].lower() == "text/csv"


def _probabilities_in(query: Sequence[tuple[str, str]]) -> bool:
    """Read ``return_probabilities`` of a CSV request's query."""
    errors = [FieldError(name, f"unknown; known are {', '.join(_IN_QUERY)}") for name, _ in query if name not in _IN_QUERY]
    wanted = [value for name, value in query if name == "return_probabilities"]
    if len(wanted) > 1 or any(value not in _TRUE_OR_FALSE for value in wanted):
        errors.append(FieldError("return_probabilities", "wants true or false, once"))
    if errors:
        listed_errors = "; ".join(f"{error.field}: {error.detail}" for error in errors)
        raise InvalidRequest(f"In the query of the address: {listed_errors}.", errors)
    return bool(wanted) and _TRUE_OR_FALSE[wanted[0]]


def tabular(inputs: Any, model: Model) -> Inputs:
    """Read columns, records or rows.

    Raises:
        WrongInputs: The inputs are none of these, or ragged.
    """
    if model.takes_raw_inputs:
        return Raw(inputs)
    if isinstance(inputs, dict):
        return from_columns(inputs)
    if not isinstance(inputs, list):
        raise not_tabular()
    require_table(Rows(inputs))
    if isinstance(inputs[0], dict):
        if not isinstance(model.schema, Records) or not all(isinstance(record, dict) for record in inputs):
            refuse_ragged(inputs)
        return from_records(inputs)
    return _by_position(inputs, model)


def _by_position(inputs: list[Any], model: Model) -> Rows:
    """Rows, or a flat list if a row is one value."""
    if _wants_a_list(model):
        return Rows(inputs)
    if not any(isinstance(row, list) for row in inputs):
        if _has_one_column(model):
            return Rows([[value] for value in inputs])
        if isinstance(model.schema, Anything) and all(isinstance(value, str) for value in inputs):
            return Rows(inputs)
    return from_rows(inputs)


def requested_rows(request: PredictionRequest, model: Model) -> int | None:
    """Rows of a request; None if the inputs go to the model unchanged."""
    return None if model.takes_raw_inputs else row_count(request.batch)


def _wants_a_list(model: Model) -> bool:
    """Tell whether a row may be a value instead of a list."""
    if isinstance(model.schema, SingleValues):
        return True
    tensors = model.schema.tensors
    return len(tensors) == 1 and tensors[0].name is None and len(tensors[0].shape) == 1


def _has_one_column(model: Model) -> bool:
    """Tell whether a function's signature has a single column of values."""
    columns = model.schema.columns
    return model.is_function and len(columns) == 1 and not columns[0].is_array


def problem(error: PlatformError, path: str) -> Response:
    """An error as RFC 9457 problem details."""
    status = status_of(error)
    return Response(status, dumps(problem_of(error, status, path)), PROBLEM_JSON)


def _check_name(request: dict[str, Any], model: Model) -> None:
    """Check that the body names this model and no version: the ingress chose the replica by its own reading of the body.

    Raises:
        InvalidRequest: The body names another model, or is ambiguous.
    """
    name = request.get("model_name")
    if not isinstance(name, str) or not name:
        # The gateway has the same error.
        raise InvalidRequest("model_name is required, as a string", [FieldError("model_name", "is required, as a string")])
    if name != model.name or request.get("model_version") is not None or request.get("alias") is not None:
        error = FieldError("model_name", "is ambiguous: give model_name, model_version and alias once each")
        raise InvalidRequest(f"{error.field} {error.detail}", [error])


def _check_fields(request: dict[str, Any]) -> None:
    if request.keys() <= _KNOWN and "inputs" in request and type(request.get("return_probabilities", False)) is bool:
        return
    errors = [FieldError(name, f"unknown field; known are {', '.join(_FIELDS)}") for name in request if name not in _KNOWN]
    if "inputs" not in request:
        errors.append(FieldError("inputs", "missing"))
    if not isinstance(request.get("return_probabilities", False), bool):
        errors.append(FieldError("return_probabilities", "wants true or false"))
    if errors:
        raise InvalidRequest("; ".join(f"{error.field}: {error.detail}" for error in errors) + ".", errors)
