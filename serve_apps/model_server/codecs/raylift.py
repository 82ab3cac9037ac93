"""The platform's own protocol: the body of ``POST /mlops/inference`` (raylift.api.inference states it as a schema)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from http import HTTPStatus
from typing import Any, Final
from urllib.parse import parse_qsl

from raylift.domain.errors import FieldError, InvalidRequest, PlatformError
from raylift.ingress.headers import NAMED
from serve_apps.model_server.codecs.base import Headers, Response
from serve_apps.model_server.errors import MalformedBody, WrongInputs, status_of
from serve_apps.model_server.inputs.csv.from_text import columns_from_csv
from serve_apps.model_server.inputs.documents import Records, SingleValues
from serve_apps.model_server.inputs.params import checked_params
from serve_apps.model_server.inputs.schema import Anything
from serve_apps.model_server.inputs.tabular import Inputs, Raw, Rows, from_columns, from_records, from_rows, refuse_ragged
from serve_apps.model_server.jsonify import dumps, loads
from serve_apps.model_server.model import Model, PredictionRequest, PredictionResult
from serve_apps.model_server.outputs.rows import row_count, rows_of
from serve_apps.model_server.outputs.values import listed

_FIELDS: Final = ("model_name", "model_version", "alias", "inputs", "return_probabilities", "params")
# model_name, model_version and alias chose this replica before the body came here.
_NAMED: Final = NAMED.lower()
_KNOWN: Final = frozenset(_FIELDS)
_IN_QUERY: Final = ("model_name", "model_version", "alias", "return_probabilities")
_TRUE_OR_FALSE: Final = {"true": True, "false": False}


class RayliftCodec:
    def __init__(self, query: str = "") -> None:
        """``query`` is the address's: of a CSV it has what stands beside ``inputs`` in a JSON body."""
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
            params=checked_params(request.get("params", {}), model.signature.params if model.signature else None),
            probabilities=request.get("return_probabilities", False),
        )

    def _decode_csv(self, body: bytes, model: Model) -> PredictionRequest:
        probabilities = _probabilities_in(parse_qsl(self._query, keep_blank_values=True))
        return model.prediction_request(columns_from_csv(body, model.schema), _as_they_are, probabilities=probabilities)

    def encode(self, answer: PredictionResult, request: PredictionRequest, model: Model) -> Response:
        body: dict[str, Any] = {
            "model_name": model.name,
            "model_version": model.version,
            "predictions": rows_of(answer.predictions, asked_rows(request, model)),
            "inference_time_ms": round(answer.seconds * 1000, 3),
        }
        if answer.probabilities is not None:
            body["probabilities"] = listed(answer.probabilities)
            body["classes"] = list(model.classes or ())
        return Response(200, dumps(body))

    def error(self, error: PlatformError, path: str) -> Response:
        return problem(error, path)


def is_csv(content_type: str) -> bool:
    return content_type[:8].lower() == "text/csv"


def _probabilities_in(query: Sequence[tuple[str, str]]) -> bool:
    """Tell whether the query of a CSV's address asks for probabilities."""
    errors = [FieldError(name, f"unknown; known are {', '.join(_IN_QUERY)}") for name, _ in query if name not in _IN_QUERY]
    asked = [value for name, value in query if name == "return_probabilities"]
    if len(asked) > 1 or any(value not in _TRUE_OR_FALSE for value in asked):
        errors.append(FieldError("return_probabilities", "wants true or false, once"))
    if errors:
        said = "; ".join(f"{error.field}: {error.detail}" for error in errors)
        raise InvalidRequest(f"In the query of the address: {said}.", errors)
    return bool(asked) and _TRUE_OR_FALSE[asked[0]]


def _as_they_are(inputs: Inputs) -> Inputs:
    return inputs


def tabular(inputs: Any, model: Model) -> Inputs:
    """Columns, records or rows, whichever the inputs are.

    Raises:
        WrongInputs: They are none of these, or ragged.
    """
    if model.signature is not None and model.signature.from_type_hint:
        return Raw(inputs)
    if isinstance(inputs, dict):
        return from_columns(inputs)
    if not isinstance(inputs, list):
        raise WrongInputs(
            "The inputs are neither columns, records nor rows.", [FieldError("inputs", "wants an object or a list")]
        )
    if not inputs:
        raise WrongInputs("The inputs have no rows.", [FieldError("inputs", "wants at least one row")])
    if isinstance(inputs[0], dict):
        if not isinstance(model.schema, Records) or not all(isinstance(record, dict) for record in inputs):
            refuse_ragged(inputs)
        return from_records(inputs)
    return _by_position(inputs, model)


def _by_position(inputs: list[Any], model: Model) -> Rows:
    """Rows, or a flat list where a row is one value."""
    if _wants_a_list(model):
        return Rows(inputs)
    if not any(isinstance(row, list) for row in inputs):
        if _has_one_column(model):
            return Rows([[value] for value in inputs])
        if isinstance(model.schema, Anything) and all(isinstance(value, str) for value in inputs):
            return Rows(inputs)
    return from_rows(inputs)


def asked_rows(request: PredictionRequest, model: Model) -> int | None:
    """Count the rows that are asked for; None where inputs go to the model as they are, and may be anything."""
    return None if model.signature is not None and model.signature.from_type_hint else row_count(request.batch)


def _wants_a_list(model: Model) -> bool:
    """Tell whether a row may be one value, and no list."""
    if isinstance(model.schema, SingleValues):
        return True
    tensors = model.schema.tensors
    return len(tensors) == 1 and tensors[0].name is None and len(tensors[0].shape) == 1


def _has_one_column(model: Model) -> bool:
    """Tell whether a function's signature says that a row is one value."""
    columns = model.schema.columns
    return model.is_function and len(columns) == 1 and not columns[0].is_array


def problem(error: PlatformError, path: str) -> Response:
    """An error as RFC 9457 problem details."""
    status = status_of(error)
    body: dict[str, Any] = {
        "type": f"urn:raylift:error:{error.code}",
        "title": HTTPStatus(status).phrase,
        "status": status,
        "detail": error.detail,
        "code": error.code,
        "instance": path,
    }
    facts = dict(error.facts)
    errors: tuple[FieldError, ...] = facts.pop("errors", ())
    if isinstance(error, InvalidRequest):
        body["errors"] = [{key: value for key, value in asdict(entry).items() if value is not None} for entry in errors]
    return Response(status, dumps(body | facts), "application/problem+json")


def _check_name(request: dict[str, Any], model: Model) -> None:
    """What chose this replica was the ingress' view of the body: it must be ours, too."""
    name = request.get("model_name")
    if not isinstance(name, str) or not name:
        # As the gateway says it.
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
