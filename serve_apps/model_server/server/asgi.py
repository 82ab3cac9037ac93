"""The replica's routes, as a bare ASGI application."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine, Iterable, MutableMapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from time import perf_counter
from typing import Any, Final, TypeVar

from raylift.domain.deployment import Batching
from raylift.domain.errors import PlatformError
from raylift.domain.identifiers import version_route
from serve_apps.model_server.codecs.base import Codec, Headers, RequestHeaders, Response
from serve_apps.model_server.codecs.kserve_v1 import KServeV1Codec
from serve_apps.model_server.codecs.mlflow_scoring import ScoringCodec, health, version
from serve_apps.model_server.codecs.open_inference import OpenInferenceCodec
from serve_apps.model_server.codecs.raylift import RayliftCodec
from serve_apps.model_server.codecs.v2_metadata import metadata, ready
from serve_apps.model_server.errors import BodyTooLarge, MethodNotAllowed, ReplicaFault, RouteNotFound, UnsupportedContent
from serve_apps.model_server.model import Model, PredictionRequest
from serve_apps.model_server.observability.exchange import UNOBSERVED, Exchange, RequestObserver
from serve_apps.model_server.server.batching import Batcher
from serve_apps.model_server.server.openapi import document

_log = logging.getLogger(__name__)

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

_T = TypeVar("_T")

_THREADS: Final = 4
LARGEST_QUICK_BODY: Final = 64 * 1024
"""In bytes. Larger ones are read in a thread even for quick models: they hold many rows."""
_CONTENT_TYPES: Final = {
    media_type: (b"content-type", media_type.encode("latin-1"))
    for media_type in ("application/json", "application/problem+json", "text/plain")
}
_ENCODING: Final = "content-encoding"
_OWN: Final = "/predict"
"""Routes of the platform's own protocol."""
_TRACE: Final = b"traceparent"
"""W3C's header is given back as it came. X-Request-ID is Ray Serve's to give."""


class ReplicaApp:
    """Answers everything below one version's route."""

    def __init__(
        self,
        model: Model,
        max_body_bytes: int = 100 * 1024 * 1024,
        *,
        batching: Batching | None = None,
        watch: RequestObserver = UNOBSERVED,
    ) -> None:
        """``watch`` is told of every prediction request, on the loop: it must be quick, and not fail."""
        self._model = model
        self._route = version_route(model.name, model.version)
        # Also says who answered where the ingress sent a request that names only the model.
        self._version_header = (b"x-raylift-model-version", model.version.encode("latin-1"))
        self._max_body_bytes = max_body_bytes
        self._inline = model.is_quick()
        self._threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="predict")
        self._watch = watch
        self._batcher: Batcher | None = None
        self.set_batching(batching)
        self._document: bytes | None = None
        open_inference = OpenInferenceCodec()
        self._fallback: Codec = open_inference
        self._predictions: dict[str, Codec] = {
            _OWN: RayliftCodec(),
            "/infer": open_inference,
            "/invocations": ScoringCodec(),
            # Clients know it as /v1/models/{name}:predict.
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
        """The version's own route, above all that is answered here."""
        return self._route

    @property
    def prediction_paths(self) -> frozenset[str]:
        return frozenset(self._route + tail for tail in self._predictions)

    @property
    def is_quick(self) -> bool:
        """Whether predictions are answered on the loop when their bodies are small."""
        return self._inline

    @property
    def largest_quick_body(self) -> int:
        """In bytes. Larger bodies are answered in a thread."""
        return LARGEST_QUICK_BODY

    def set_batching(self, limits: Batching | None) -> None:
        """Group requests within these limits, where the model may be asked in groups; None to ask for each by itself."""
        wanted = limits is not None and limits.max_rows > 1 and self._model.is_groupable
        self._batcher = Batcher(self._model, limits, None if self._inline else self._threads) if limits and wanted else None

    def queued(self) -> int:
        """Requests that wait for a thread, or for the batch that is computed."""
        waiting = self._threads._work_queue.qsize()  # pyright: ignore[reportPrivateUsage]
        return waiting + (self._batcher.waiting if self._batcher else 0)

    def _openapi(self) -> Response:
        """Made when somebody first asks for it: it asks the model for its examples."""
        self._document = self._document or document(self._model)
        return Response(200, self._document)

    def close(self) -> None:
        """Give the threads back, once nobody asks any more."""
        self._threads.shutdown(wait=False)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            await _send(send, await self._answer(scope, receive), self._version_header, scope["headers"])
        elif scope["type"] == "lifespan":
            await _lifespan(receive, send)
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
            return await self._predicted(codec, tail, path, scope, receive)
        if codec is None and tail in self._pages and method in ("GET", "HEAD"):
            return self._pages[tail]()
        return self._refusal(codec, tail, method, path)

    async def _predicted(self, codec: Codec, tail: str, path: str, scope: Scope, receive: Receive) -> Response:
        watch = self._watch
        watch.began(tail)
        exchange = Exchange(tail, scope["headers"])
        try:
            exchange.response = await self._exchanged(codec, exchange, path, receive)
        finally:
            # Without a response where the client has gone.
            watch.ended(exchange)
        return exchange.response

    async def _exchanged(self, codec: Codec, exchange: Exchange, path: str, receive: Receive) -> Response:
        try:
            body = exchange.body = await self._body(receive)
        except BodyTooLarge as error:
            return self._failed(codec, error, path)
        started = perf_counter()
        headers = RequestHeaders(exchange.headers)
        if _ENCODING in headers and headers[_ENCODING].lower() not in ("", "identity"):
            return self._failed(codec, UnsupportedContent(f"Send the body as it is, not {headers[_ENCODING]}-encoded."), path)
        answered = self._answered(codec, body, headers, path)
        if self._is_long(body):
            response, exchange.rows, exchange.rows_together = await _while_there(receive, answered)
        else:
            response, exchange.rows, exchange.rows_together = await answered
        exchange.seconds = perf_counter() - started
        return response

    def _is_long(self, body: bytes) -> bool:
        """Whether the answer is computed in a thread."""
        return not self._inline or len(body) > LARGEST_QUICK_BODY

    async def _answered(self, codec: Codec, body: bytes, headers: Headers, path: str) -> tuple[Response, int, int]:
        """The response, the rows that were asked for, and the rows that were computed together."""
        if len(body) > LARGEST_QUICK_BODY or not (self._inline or self._batcher):
            return await asyncio.get_running_loop().run_in_executor(self._threads, self._computed, codec, body, headers, path)
        if self._batcher is None:
            return self._computed(codec, body, headers, path)
        request: PredictionRequest | None = None
        try:
            request = codec.decode(body, headers, self._model)
            if self._batcher.accepts(request):
                answer, together = await self._batcher.predict(request)
                return codec.encode(answer, request, self._model), request.rows, together
        except Exception as error:  # noqa: BLE001 - the edge: _failed logs and answers it
            return self._failed(codec, error, path), request.rows if request else 0, 0
        if self._inline:
            return self._asked(codec, request, path)
        return await asyncio.get_running_loop().run_in_executor(self._threads, self._asked, codec, request, path)

    def _computed(self, codec: Codec, body: bytes, headers: Headers, path: str) -> tuple[Response, int, int]:
        try:
            request = codec.decode(body, headers, self._model)
        except Exception as error:  # noqa: BLE001 - the edge, again
            return self._failed(codec, error, path), 0, 0
        return self._asked(codec, request, path)

    def _asked(self, codec: Codec, request: PredictionRequest, path: str) -> tuple[Response, int, int]:
        rows = request.rows
        try:
            return codec.encode(self._model.predict(request), request, self._model), rows, rows
        except Exception as error:  # noqa: BLE001 - the edge, again
            return self._failed(codec, error, path), rows, 0

    def _failed(self, codec: Codec, error: Exception, path: str) -> Response:
        """The answer for what went wrong; what nobody foresaw is logged, too."""
        if not isinstance(error, PlatformError):
            _log.error("A request to %s failed", path, exc_info=error)
            error = ReplicaFault("The replica failed on this request. Its log has the reason.")
        return replace(codec.error(error, path), error=error.code)

    def _refusal(self, codec: Codec | None, tail: str, method: str, path: str) -> Response:
        if codec is None and tail not in self._pages:
            return self._fallback.error(
                RouteNotFound(f"{path} is not found: below {self._route} there are {self._known()}."), path
            )
        allow = "POST" if codec is not None else "GET, HEAD"
        refusal = (codec or self._fallback).error(MethodNotAllowed(f"{method} is not allowed here: use {allow}."), path)
        return Response(refusal.status, refusal.body, refusal.media_type, {"allow": allow})

    def _known(self) -> str:
        return ", ".join([*self._predictions, *filter(None, self._pages)])

    async def _body(self, receive: Receive) -> bytes:
        message = await receive()
        body: bytes = message.get("body", b"")
        if not message.get("more_body"):
            self._check_size(len(body))
            return body
        chunks, size = [body], len(body)
        while message.get("more_body"):
            message = await receive()
            chunks.append(message.get("body", b""))
            size += len(chunks[-1])
            self._check_size(size)
        return b"".join(chunks)

    def _check_size(self, size: int) -> None:
        if size > self._max_body_bytes:
            raise BodyTooLarge(f"The body is larger than {self._max_body_bytes} bytes.")


async def _send(send: Send, response: Response, version: tuple[bytes, bytes], asked: Iterable[tuple[bytes, bytes]]) -> None:
    media_type = response.media_type
    headers = [
        _CONTENT_TYPES.get(media_type) or (b"content-type", media_type.encode("latin-1")),
        (b"content-length", b"%d" % len(response.body)),
        version,
    ]
    for header in asked:
        if header[0] == _TRACE:
            headers.append(header)
    if response.headers:
        headers += [(name.encode("latin-1"), value.encode("latin-1")) for name, value in response.headers.items()]
    await send({"type": "http.response.start", "status": response.status, "headers": headers})
    await send({"type": "http.response.body", "body": response.body})


async def _while_there(receive: Receive, answer: Coroutine[Any, Any, _T]) -> _T:
    """The answer, as long as the client is there to take it.

    Raises:
        asyncio.CancelledError: It has gone. What waits for a thread is dropped; what runs in one runs to its end.
    """
    work, gone = asyncio.ensure_future(answer), asyncio.ensure_future(receive())
    try:
        await asyncio.wait((work, gone), return_when=asyncio.FIRST_COMPLETED)
        if not work.done() and gone.result()["type"] != "http.disconnect":
            return await work
        if not work.done():
            raise asyncio.CancelledError
        return work.result()
    finally:
        work.cancel()
        gone.cancel()


async def _lifespan(receive: Receive, send: Send) -> None:
    while True:
        message = await receive()
        await send({"type": f"{message['type']}.complete"})
        if message["type"] == "lifespan.shutdown":
            return
