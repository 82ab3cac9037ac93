"""Interface of a protocol's codec: request bytes to a prediction request, results and errors to response bytes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

from raylift.domain.errors import PlatformError
from serve_apps.model_server.errors import status_of
from serve_apps.model_server.inputs.tabular import Inputs
from serve_apps.model_server.jsonify import dumps
from serve_apps.model_server.model import Model, PredictionRequest, PredictionResult

Headers = Mapping[str, str]
"""Request headers with names in lower case."""


@dataclass(frozen=True, slots=True)
class Response:
    status: int
    body: bytes
    media_type: str = "application/json"
    headers: Mapping[str, str] = field(default_factory=dict[str, str])
    error: str | None = None
    """Code of the error in the body, for metrics and logs. It is not sent."""


class Codec(Protocol):
    """Prediction route of a protocol."""

    def decode(self, body: bytes, headers: Headers, model: Model) -> PredictionRequest:
        """Read a request.

        Raises:
            PlatformError: One of ``errors.py``.
        """
        ...

    def encode(self, result: PredictionResult, request: PredictionRequest, model: Model) -> Response: ...

    def error(self, error: PlatformError, path: str) -> Response: ...


def error_object(error: PlatformError) -> Response:
    """An error as ``{"error": text}``, the form of KServe's protocols. Wrong inputs are 400 there."""
    status = status_of(error)
    return Response(400 if status == 422 else status, dumps({"error": error.detail}))


def unchanged(inputs: Inputs) -> Inputs:
    """Inputs that the protocol has decoded already, as ``Model.prediction_request`` wants them."""
    return inputs
