"""The replica's routes, as a bare ASGI application."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, MutableMapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final

from raylift.domain.errors import PlatformError
from raylift.domain.identifiers import version_route
from serve_apps.model_server.codecs.base import Codec, Headers, Response
from serve_apps.model_server.codecs.mlflow_scoring import ScoringCodec, health, version
from serve_apps.model_server.codecs.open_inference import OpenInferenceCodec, metadata, ready
from serve_apps.model_server.codecs.raylift import RayliftCodec
from serve_apps.model_server.errors import BodyTooLarge, MethodNotAllowed, ReplicaFault, RouteNotFound
from serve_apps.model_server.model import Model
from serve_apps.model_server.openapi import document

_log = logging.getLogger(__name__)

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

_THREADS: Final = 4
_INLINE_BYTES: Final = 32 * 1024
"""Larger bodies are read in a thread even for quick models: they hold many rows."""


class ReplicaApp:
    """Answers everything below one version's route."""

    def __init__(self, model: Model, max_body_bytes: int = 100 * 1024 * 1024) -> None:
        self._model = model
        self._route = version_route(model.name, model.version)
        self._max_body_bytes = max_body_bytes
        self._inline = model.is_quick()
        self._threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="predict")
        self._openapi = document(model)
        open_inference = OpenInferenceCodec()
        self._fallback: Codec = open_inference
        self._predictions: dict[str, Codec] = {
            "/predict": RayliftCodec(),
            "/infer": open_inference,
            "/invocations": ScoringCodec(),
        }
        self._pages: dict[str, Callable[[], Response]] = {
            "": lambda: metadata(model),
            "/ready": lambda: ready(model),
            "/ping": health,
            "/health": health,
            "/version": lambda: version(model),
            "/openapi.json": lambda: Response(200, self._openapi),
        }

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            await _send(send, await self._answer(scope, receive))
        elif scope["type"] == "lifespan":
            await _lifespan(receive, send)
        elif scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1000})

    async def _answer(self, scope: Scope, receive: Receive) -> Response:
        path: str = scope["path"]
        tail = path.removeprefix(scope.get("root_path") or self._route).rstrip("/")
        codec = self._predictions.get(tail)
        method: str = scope["method"]
        if codec is not None and method == "POST":
            try:
                body = await self._body(receive)
            except BodyTooLarge as error:
                return codec.error(error, path)
            headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
            if self._inline and len(body) <= _INLINE_BYTES:
                return self._predict(codec, body, headers, path)
            return await asyncio.get_running_loop().run_in_executor(self._threads, self._predict, codec, body, headers, path)
        if codec is None and tail in self._pages and method in ("GET", "HEAD"):
            return self._pages[tail]()
        return self._refusal(codec, tail, method, path)

    def _predict(self, codec: Codec, body: bytes, headers: Headers, path: str) -> Response:
        try:
            question = codec.decode(body, headers, self._model)
            return codec.encode(self._model.ask(question), question, self._model)
        except PlatformError as error:
            return codec.error(error, path)
        except Exception as error:  # noqa: BLE001 - the edge: what nobody foresaw is logged and answered, not dropped
            _log.exception("A request to %s failed", path)
            return codec.error(ReplicaFault(f"The replica failed: {type(error).__name__}."), path)

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


async def _send(send: Send, response: Response) -> None:
    headers = [
        (b"content-type", response.media_type.encode("latin-1")),
        (b"content-length", str(len(response.body)).encode("latin-1")),
        *((name.encode("latin-1"), value.encode("latin-1")) for name, value in response.headers.items()),
    ]
    await send({"type": "http.response.start", "status": response.status, "headers": headers})
    await send({"type": "http.response.body", "body": response.body})


async def _lifespan(receive: Receive, send: Send) -> None:
    while True:
        message = await receive()
        await send({"type": f"{message['type']}.complete"})
        if message["type"] == "lifespan.shutdown":
            return
