"""KServe's V1 protocol: ``{"instances": […]}`` to ``{"predictions": […]}``."""

from __future__ import annotations

from typing import Final

from raylift.domain.errors import InvalidRequest, PlatformError
from serve_apps.model_server.codecs.base import Headers, Response, error_object
from serve_apps.model_server.codecs.raylift import requested_rows, tabular
from serve_apps.model_server.errors import MalformedBody
from serve_apps.model_server.jsonify import dumps, loads
from serve_apps.model_server.model import Model, PredictionRequest, PredictionResult
from serve_apps.model_server.outputs.rows import rows_of

# Names of TensorFlow Serving, whose protocol V1 is. ``signature_name`` may only be the default.
_INSTANCES: Final = "instances"
_SIGNATURE: Final = "signature_name"


class KServeV1Codec:
    def decode(self, body: bytes, headers: Headers, model: Model) -> PredictionRequest:
        document = loads(body)
        if not isinstance(document, dict) or not isinstance(document.get(_INSTANCES), list):
            raise MalformedBody('The body is no V1 request: write {"instances": [[…], …]} or {"instances": [{…}, …]}.')
        unknown = document.keys() - {_INSTANCES, _SIGNATURE}
        if unknown:
            raise InvalidRequest(f"Unknown fields: {', '.join(sorted(unknown))}. A V1 request has instances.")
        return model.prediction_request(document[_INSTANCES], lambda inputs: tabular(inputs, model))

    def encode(self, result: PredictionResult, request: PredictionRequest, model: Model) -> Response:
        return Response(200, dumps({"predictions": rows_of(result.predictions, requested_rows(request, model))}))

    def error(self, error: PlatformError, path: str) -> Response:
        return error_object(error)
