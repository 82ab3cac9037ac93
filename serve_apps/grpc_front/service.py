"""``inference.GRPCInferenceService`` in front of the platform's HTTP routes.

Each call becomes one HTTP request to the ingress, with its metadata as headers. Traffic tables, waiting for replicas and
retries work as with HTTP.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final, cast
from urllib.parse import quote

import aiohttp
import grpc
from google.protobuf.json_format import ParseDict
from yarl import URL

from raylift.api.headers import MODEL_VERSION, REQUEST_ID, SCALE_UP_TIMEOUT
from raylift.api.paths import V2_MODELS
from raylift.domain.errors import InvalidRequest
from serve_apps.grpc_front.messages import SERVICE, message
from serve_apps.grpc_front.translation import grpc_answer, http_body
from serve_apps.model_server.codecs.open_inference.binary_tensors import JSON_LENGTH, MEDIA_TYPE

Context = grpc.aio.ServicerContext[Any, Any]

_RETURNED: Final = (MODEL_VERSION.lower(), REQUEST_ID.lower(), "retry-after")
"""Headers of the answer that become trailing metadata."""
_NOT_FORWARDED: Final = frozenset(
    {
        "connection",
        "content-encoding",
        "content-length",
        "content-type",
        "expect",
        "host",
        "te",
        "transfer-encoding",
        "upgrade",
        "user-agent",
    }
)
_SCALE_UP: Final = SCALE_UP_TIMEOUT.lower()
_CONNECT_SECONDS: Final = 5.0
_STATUS: Final[Mapping[int, grpc.StatusCode]] = MappingProxyType(
    {
        400: grpc.StatusCode.INVALID_ARGUMENT,
        401: grpc.StatusCode.UNAUTHENTICATED,
        403: grpc.StatusCode.PERMISSION_DENIED,
        404: grpc.StatusCode.NOT_FOUND,
        408: grpc.StatusCode.DEADLINE_EXCEEDED,
        413: grpc.StatusCode.RESOURCE_EXHAUSTED,
        422: grpc.StatusCode.INVALID_ARGUMENT,
        429: grpc.StatusCode.RESOURCE_EXHAUSTED,
        500: grpc.StatusCode.INTERNAL,
        502: grpc.StatusCode.UNAVAILABLE,
        503: grpc.StatusCode.UNAVAILABLE,
        504: grpc.StatusCode.DEADLINE_EXCEEDED,
    }
)


@dataclass(frozen=True, slots=True)
class _Answer:
    status: int
    headers: Mapping[str, str]
    body: bytes

    def detail(self) -> str:
        """Message of an error: of a problem document, of an inference protocol, or plain text."""
        try:
            document = json.loads(self.body)
        except ValueError:
            return self.body.decode(errors="replace")[:1000]
        if not isinstance(document, dict):
            return str(document)
        return str(document.get("error") or document.get("detail") or document)


class InferenceService:
    """Answers calls with requests to the ingress at ``base_url``. To be made inside the event loop."""

    def __init__(self, base_url: str) -> None:
        self._base_url = base_url.rstrip("/")
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0),
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=_CONNECT_SECONDS),
            cookie_jar=aiohttp.DummyCookieJar(),
            trust_env=False,
        )

    def handlers(self) -> grpc.GenericRpcHandler:
        calls: dict[str, Callable[[Any, Context], Awaitable[Any]]] = {
            "ServerLive": self._server_live,
            "ServerReady": self._server_ready,
            "ServerMetadata": self._server_metadata,
            "ModelReady": self._model_ready,
            "ModelMetadata": self._model_metadata,
            "ModelInfer": self._model_infer,
            "RepositoryIndex": self._repository_index,
        }
        return grpc.method_handlers_generic_handler(
            SERVICE,
            {
                name: grpc.unary_unary_rpc_method_handler(
                    call,
                    request_deserializer=message(f"{name}Request").FromString,
                    response_serializer=message(f"{name}Response").SerializeToString,
                )
                for name, call in calls.items()
            },
        )

    async def close(self) -> None:
        await self._session.close()

    async def _server_live(self, _: Any, context: Context) -> Any:
        answer = await self._send(context, "GET", "/v2/health/live")
        return message("ServerLiveResponse")(live=answer.status == 200)

    async def _server_ready(self, _: Any, context: Context) -> Any:
        answer = await self._send(context, "GET", "/v2/health/ready")
        return message("ServerReadyResponse")(ready=answer.status == 200)

    async def _server_metadata(self, _: Any, context: Context) -> Any:
        return _read("ServerMetadataResponse", await self._json(context, "GET", "/v2"))

    async def _model_ready(self, request: Any, context: Context) -> Any:
        answer = await self._send(context, "GET", f"{_route(request.name, request.version)}/ready")
        return message("ModelReadyResponse")(ready=answer.status == 200)

    async def _model_metadata(self, request: Any, context: Context) -> Any:
        return _read("ModelMetadataResponse", await self._json(context, "GET", _route(request.name, request.version)))

    async def _repository_index(self, request: Any, context: Context) -> Any:
        body = json.dumps({"ready": request.ready}).encode()
        index = await self._json(context, "POST", "/v2/repository/index", body)
        return _read("RepositoryIndexResponse", {"models": index})

    async def _model_infer(self, request: Any, context: Context) -> Any:
        try:
            body, json_length = http_body(request)
        except InvalidRequest as error:
            await context.abort(grpc.StatusCode.INVALID_ARGUMENT, error.detail)
        path = f"{_route(request.model_name, request.model_version)}/infer"
        answer = await self._send(context, "POST", path, body, {JSON_LENGTH: str(json_length), "Content-Type": MEDIA_TYPE})
        await _refuse_errors(context, answer)
        _return_headers(context, answer)
        return grpc_answer(answer.body, int(answer.headers[JSON_LENGTH]))

    async def _json(self, context: Context, method: str, path: str, body: bytes = b"") -> Any:
        answer = await self._send(context, method, path, body)
        await _refuse_errors(context, answer)
        return json.loads(answer.body)

    async def _send(
        self, context: Context, method: str, path: str, body: bytes = b"", headers: Mapping[str, str] | None = None
    ) -> _Answer:
        """The answer of the ingress. A cancelled or late call also cancels the request."""
        url = URL(self._base_url + path, encoded=True)
        try:
            request = self._session.request(method, url, data=body or None, headers={**_headers(context), **(headers or {})})
            async with request as response:
                return _Answer(response.status, response.headers, await response.read())
        except aiohttp.ClientError as error:
            await context.abort(grpc.StatusCode.UNAVAILABLE, f"The platform at {self._base_url} did not answer: {error}")
            raise  # abort() raises.


def _read(name: str, document: dict[str, Any]) -> Any:
    """A message from JSON. Members without a field are ignored."""
    return ParseDict(document, message(name)(), ignore_unknown_fields=True)


def _route(model: str, version: str) -> str:
    named = f"{V2_MODELS}/{quote(model, safe='')}"
    return f"{named}/versions/{quote(version, safe='')}" if version else named


def _headers(context: Context) -> dict[str, str]:
    """The call's metadata as headers. Its deadline limits the wait for a replica."""
    headers = {
        key: value
        for key, value in context.invocation_metadata() or ()
        if isinstance(value, str) and key not in _NOT_FORWARDED and not key.startswith("grpc-")
    }
    left = cast("float | None", context.time_remaining())  # None without a deadline, unlike in its stub.
    if left is not None and _SCALE_UP not in headers:
        headers[_SCALE_UP] = f"{max(left, 0.0):.3f}"
    return headers


async def _refuse_errors(context: Context, answer: _Answer) -> None:
    if answer.status != 200:
        _return_headers(context, answer)
        await context.abort(_STATUS.get(answer.status, grpc.StatusCode.UNKNOWN), answer.detail())


def _return_headers(context: Context, answer: _Answer) -> None:
    context.set_trailing_metadata(tuple((name, answer.headers[name]) for name in _RETURNED if name in answer.headers))
