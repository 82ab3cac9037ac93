"""ASGI application of a version's routes."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from time import perf_counter
from typing import Final

from raylift.api.headers import ROWS
from raylift.api.paths import version_route
from raylift.domain.errors import PlatformError
from raylift.domain.models.deployment import Batching
from raylift.ingress.access_token import Receive, Scope, Send
from serve_apps.model_server.codecs.base import Codec, Headers, Response
from serve_apps.model_server.codecs.kserve_v1 import KServeV1Codec
from serve_apps.model_server.codecs.mlflow_scoring import ScoringCodec, health, version
from serve_apps.model_server.codecs.open_inference.codec import OpenInferenceCodec
from serve_apps.model_server.codecs.open_inference.metadata import metadata, ready
from serve_apps.model_server.codecs.raylift import RayliftCodec
from serve_apps.model_server.errors import BodyTooLarge, MethodNotAllowed, ReplicaFault, RouteNotFound, UnsupportedContent
from serve_apps.model_server.model import Model, PredictionRequest
from serve_apps.model_server.observability.exchange import UNOBSERVED, Exchange, RequestObserver
from serve_apps.model_server.observability.sketch import Sketcher
from serve_apps.model_server.server.batching import Batcher
from serve_apps.model_server.server.http import answer_lifespan, read_body, send_response, version_header, while_connected
from serve_apps.model_server.server.openapi import document
from serve_apps.model_server.server.speed import is_quick

_log = logging.getLogger(__name__)

_THREADS: Final = 4
_ENCODING: Final = "content-encoding"
_OWN: Final = "/predict"
"""Route of the platform's own protocol."""

Outcome = tuple[Response, int, int]
"""Response, rows of the request, and rows that were computed together with it."""


class ReplicaApp:
    """Answers all requests below a version's route."""

    largest_quick_body: Final = 64 * 1024
    """Bytes. Larger bodies are answered in a thread even for quick models: they have many rows."""

    def __init__(
        self,
        model: Model,
        max_body_bytes: int = 100 * 1024 * 1024,
        *,
        batching: Batching | None = None,
        observer: RequestObserver = UNOBSERVED,
        sketcher: Sketcher | None = None,
    ) -> None:
        self._model = model
        self._route = version_route(model.name, model.version)
        self._version_header = version_header(model.version)
        self._max_body_bytes = max_body_bytes
        self._is_quick = is_quick(model)
        self._threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="predict")
        self._observer = observer
        self._sketcher = sketcher
        self.set_batching(batching)
        self._document: bytes | None = None
        open_inference = OpenInferenceCodec()
        self._fallback: Codec = open_inference
        self._predictions: dict[str, Codec] = {
            _OWN: RayliftCodec(),
            "/infer": open_inference,
            "/invocations": ScoringCodec(),
            # Its path in the protocol: /v1/models/{name}:predict.
            "/v1:predict": KServeV1Codec(),
        }
        self._pages: dict[str, Callable[[], Response]] = {
            "": lambda: metadata(model),
            "/ready": lambda: ready(model),
            "/ping": health,
            "/health": health,
            "/version": lambda: version(model),
            "/openapi.json": self._openapi,
        }

    @property
    def route(self) -> str:
        """Route of the version, the prefix of all paths here."""
        return self._route

    @property
    def prediction_paths(self) -> frozenset[str]:
        return frozenset(self._route + tail for tail in self._predictions)

    @property
    def is_quick(self) -> bool:
        """True if requests with small bodies are answered on the event loop."""
        return self._is_quick

    def set_batching(self, limits: Batching | None) -> None:
        """Compute requests in groups within these limits, if the model allows it; None turns batching off."""
        is_wanted = limits is not None and limits.max_rows > 1 and self._model.is_groupable
        self._batcher = (
            Batcher(self._model, limits, None if self._is_quick else self._threads) if limits and is_wanted else None
        )

    def queued(self) -> int:
        """Requests that wait for a thread or for their batch."""
        waiting = self._threads._work_queue.qsize()  # pyright: ignore[reportPrivateUsage]
        return waiting + (self._batcher.waiting if self._batcher else 0)

    def close(self) -> None:
        """Release the threads. No request may follow."""
        self._threads.shutdown(wait=False)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            await send_response(send, await self._answer(scope, receive), self._version_header, scope["headers"])
        elif scope["type"] == "lifespan":
            await answer_lifespan(receive, send)
        elif scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1000})

    async def _answer(self, scope: Scope, receive: Receive) -> Response:
        path: str = scope["path"]
        tail = path.removeprefix(scope.get("root_path") or self._route).rstrip("/")
        codec = self._predictions.get(tail)
        if tail == _OWN and scope.get("query_string"):
            codec = RayliftCodec(scope["query_string"].decode("latin-1"))
        method: str = scope["method"]
        if codec is not None and method == "POST":
            return await self._observed(codec, tail, path, scope, receive)
        if codec is None and tail in self._pages and method in ("GET", "HEAD"):
            return self._pages[tail]()
        return self._refusal(codec, tail, method, path)

    async def _observed(self, codec: Codec, tail: str, path: str, scope: Scope, receive: Receive) -> Response:
        observer = self._observer
        observer.began(tail)
        exchange = Exchange(tail, scope["headers"])
        try:
            exchange.response = await self._exchanged(codec, exchange, path, receive)
        finally:
            # Without a response if the client has disconnected.
            observer.ended(exchange)
        if not exchange.rows:
            return exchange.response
        # For the ingress, which limits rows of a client.
        return replace(exchange.response, headers={**exchange.response.headers, ROWS: str(exchange.rows)})

    async def _exchanged(self, codec: Codec, exchange: Exchange, path: str, receive: Receive) -> Response:
        try:
            body = exchange.body = await read_body(receive, self._max_body_bytes)
        except BodyTooLarge as error:
            return self._error_response(codec, error, path)
        started = perf_counter()
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in exchange.headers}
        if _ENCODING in headers and headers[_ENCODING].lower() not in ("", "identity"):
            error = UnsupportedContent(f"Send the body as it is, not {headers[_ENCODING]}-encoded.")
            return self._error_response(codec, error, path)
        outcome = self._outcome(codec, body, headers, path)
        if not self._is_quick or len(body) > self.largest_quick_body:
            response, exchange.rows, exchange.rows_together = await while_connected(receive, outcome)
        else:
            response, exchange.rows, exchange.rows_together = await outcome
        exchange.seconds = perf_counter() - started
        return response

    async def _outcome(self, codec: Codec, body: bytes, headers: Headers, path: str) -> Outcome:
        """Answer on the loop, in a thread or in a batch."""
        loop = asyncio.get_running_loop()
        if len(body) > self.largest_quick_body or not (self._is_quick or self._batcher):
            return await loop.run_in_executor(self._threads, self._decode_and_predict, codec, body, headers, path)
        if self._batcher is None:
            return self._decode_and_predict(codec, body, headers, path)
        request: PredictionRequest | None = None
        try:
            request = codec.decode(body, headers, self._model)
            if self._batcher.accepts(request):
                result, together = await self._batcher.predict(request)
                if self._sketcher is not None:
                    self._sketcher.offer(request, result, request.rows)
                return codec.encode(result, request, self._model), request.rows, together
        except Exception as error:  # noqa: BLE001 - the edge: every error is answered, and an unexpected one is logged
            return self._error_response(codec, error, path), request.rows if request else 0, 0
        if self._is_quick:
            return self._predict(codec, request, path)
        return await loop.run_in_executor(self._threads, self._predict, codec, request, path)

    def _decode_and_predict(self, codec: Codec, body: bytes, headers: Headers, path: str) -> Outcome:
        try:
            request = codec.decode(body, headers, self._model)
        except Exception as error:  # noqa: BLE001 - as above
            return self._error_response(codec, error, path), 0, 0
        return self._predict(codec, request, path)

    def _predict(self, codec: Codec, request: PredictionRequest, path: str) -> Outcome:
        rows = request.rows
        try:
            result = self._model.predict(request)
            if self._sketcher is not None:
                self._sketcher.offer(request, result, rows)
            return codec.encode(result, request, self._model), rows, rows
        except Exception as error:  # noqa: BLE001 - as above
            return self._error_response(codec, error, path), rows, 0

    def _error_response(self, codec: Codec, error: Exception, path: str) -> Response:
        if not isinstance(error, PlatformError):
            _log.error("A request to %s failed", path, exc_info=error)
            error = ReplicaFault("The replica failed on this request. Its log has the reason.")
        return replace(codec.error(error, path), error=error.code)

    def _refusal(self, codec: Codec | None, tail: str, method: str, path: str) -> Response:
        if codec is None and tail not in self._pages:
            known = ", ".join([*self._predictions, *filter(None, self._pages)])
            return self._fallback.error(RouteNotFound(f"{path} is not found: below {self._route} there are {known}."), path)
        allow = "POST" if codec is not None else "GET, HEAD"
        refusal = (codec or self._fallback).error(MethodNotAllowed(f"{method} is not allowed here: use {allow}."), path)
        return replace(refusal, headers={"allow": allow})

    def _openapi(self) -> Response:
        """Made at the first request: its examples need predictions."""
        self._document = self._document or document(self._model)
        return Response(200, self._document)
