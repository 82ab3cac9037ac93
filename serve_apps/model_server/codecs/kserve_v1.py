"""KServe's V1 protocol: ``{"instances": […]}`` to ``{"predictions": […]}``."""

from __future__ import annotations

from typing import Final

from raylift.domain.errors import InvalidRequest, PlatformError
from serve_apps.model_server.codecs.base import Headers, Response
from serve_apps.model_server.codecs.raylift import asked_rows, tabular
from serve_apps.model_server.errors import MalformedBody, status_of
from serve_apps.model_server.jsonify import dumps, loads
from serve_apps.model_server.model import Model, PredictionRequest, PredictionResult
from serve_apps.model_server.outputs.rows import rows_of

# TensorFlow Serving's names, whose protocol V1 is: the one is required, the other may only say the default.
_INSTANCES: Final = "instances"
_SIGNATURE: Final = "signature_name"


class KServeV1Codec:
    def decode(self, body: bytes, headers: Headers, model: Model) -> PredictionRequest:
        request = loads(body)
        if not isinstance(request, dict) or not isinstance(request.get(_INSTANCES), list):
            raise MalformedBody('The body is no V1 request: write {"instances": [[…], …]} or {"instances": [{…}, …]}.')
        unknown = request.keys() - {_INSTANCES, _SIGNATURE}
        if unknown:
            raise InvalidRequest(f"Unknown fields: {', '.join(sorted(unknown))}. A V1 request has instances.")
        return model.prediction_request(request[_INSTANCES], lambda inputs: tabular(inputs, model))

    def encode(self, answer: PredictionResult, request: PredictionRequest, model: Model) -> Response:
        return Response(200, dumps({"predictions": rows_of(answer.predictions, asked_rows(request, model))}))

    def error(self, error: PlatformError, path: str) -> Response:
        status = status_of(error)
        return Response(400 if status == 422 else status, dumps({"error": error.detail}))
