"""ASGI middleware that answers quick predictions without Ray Serve's own handling of each request.

For an answer in microseconds, Serve's handling is more than half of the CPU time (tasks, disconnect watch, identifiers,
context). Quick requests are answered directly behind the HTTP server. They still count as ongoing in Serve (autoscaling,
draining) and take a slot of its semaphore. Without a free slot, and for all other requests, Serve handles everything.

Serve samples ongoing requests about once a second and rarely sees one of microseconds, so it would remove the last replica of
a version in use. Therefore a recent request counts as a tiny part of an ongoing one.

Serve calls :func:`middlewares` in each process with an HTTP server (``RAY_SERVE_HTTP_PROXY_CALLBACK_IMPORT_PATH``).
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from time import perf_counter
from typing import Any, Final, Protocol
from uuid import uuid4

from starlette.middleware import Middleware

from raylift.api.headers import PREDICTION_ID, REQUEST_ID, REQUEST_TIMEOUT, raw
from raylift.ingress.access_token import App, Receive, Scope, Send

_log = logging.getLogger(__name__)

_REQUEST_ID: Final = raw(REQUEST_ID)
_PREDICTION_ID: Final = raw(PREDICTION_ID)
_LENGTH: Final = b"content-length"
_TIMEOUT: Final = raw(REQUEST_TIMEOUT)
_MS: Final = 1000
_RECENT_WEIGHT: Final = 2.0**-20
"""Ongoing requests that a recent request counts as: enough for one replica, not for two. A power of two adds up exactly."""
_RECENT_SECONDS: Final = 3.0
"""Longer than Serve's sampling interval (a fifth of ``look_back_period_s``, at most ``metrics_interval_s``)."""


class BypassedApp(Protocol):
    """Application of a version, with the properties of requests that may bypass Serve."""

    @property
    def route(self) -> str: ...
    @property
    def prediction_paths(self) -> frozenset[str]: ...
    @property
    def is_quick(self) -> bool: ...
    @property
    def largest_quick_body(self) -> int: ...


@dataclass(slots=True)
class ReplicaBehind:
    """A replica of a version, with Serve's objects for it."""

    app: App
    """The version's application, which Serve would call."""
    route: str
    paths: frozenset[str]
    """Paths of predictions."""
    is_quick: bool
    """Predictions are computed in the event loop."""
    largest_body: int
    """Bytes; larger bodies are handled in a thread."""
    slots: Any
    """Serve's semaphore of ``max_ongoing_requests``."""
    metrics: Any
    """Serve's ``ReplicaMetricsManager``."""
    request: Any
    """A ``RequestMetadata`` for the manager, the same for all requests."""
    has_recent_request: bool = False

    def note_request(self, loop: asyncio.AbstractEventLoop) -> None:
        if not self.has_recent_request:
            self.has_recent_request = True
            self._count(_RECENT_WEIGHT)
            loop.call_later(_RECENT_SECONDS, self._forget)

    def _forget(self) -> None:
        self.has_recent_request = False
        self._count(-_RECENT_WEIGHT)

    def _count(self, requests: float) -> None:
        self.metrics._change_num_ongoing_requests(self.request, requests)


def middlewares() -> list[Middleware]:
    """Return the middleware that Serve puts around its own handling of HTTP requests."""
    return [Middleware(ServeBypass)]  # pyright: ignore[reportArgumentType] - ours is more exact than Starlette's protocol


class ServeBypass:
    """Sends small requests for quick predictions to the replica's application, all others to Serve."""

    def __init__(self, app: App, find: Callable[[App], ReplicaBehind | None] | None = None) -> None:
        """Wrap Serve's ``app``. ``find`` returns the replica behind it. Call it on the loop that answers."""
        self._serve = app
        self._replica = (find or replica_behind)(app)
        self._loop = asyncio.get_running_loop()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        replica = self._replica
        if replica is None or not _is_prediction(scope, replica):
            await self._serve(scope, receive, send)
            return
        replica.note_request(self._loop)
        if not replica.is_quick or replica.slots.locked() or not _is_small(headers := dict(scope["headers"]), replica):
            await self._serve(scope, receive, send)
            return
        await replica.slots.acquire()  # Returns at once: a slot is free.
        replica.metrics.inc_num_ongoing_requests(replica.request)
        started = perf_counter()
        try:
            await replica.app(scope, receive, _with_request_id(scope, headers, send))
        finally:
            # In the loop's next turn, so that Serve's sampling between turns counts requests that came together.
            self._loop.call_soon(_leave, replica)
            milliseconds = (perf_counter() - started) * _MS
            replica.metrics.record_request_metrics(route=replica.route, latency_ms=milliseconds, is_error=False)


def replica_behind(app: App) -> ReplicaBehind | None:
    """Find the replica of a version behind Serve's ``app``, through Serve's own objects; None if there is none.

    With another release of Ray that has other objects, a warning is logged and Serve handles all requests.
    """
    serves: Any = getattr(getattr(app, "_app", None), "__self__", None)
    ours: Any = getattr(getattr(serves, "_user_callable_wrapper", None), "user_callable", None)
    replica_app: BypassedApp | None = getattr(ours, "replica_app", None)
    if replica_app is None:
        return None
    try:
        found = ReplicaBehind(
            app=ours.app,
            route=replica_app.route,
            paths=replica_app.prediction_paths,
            is_quick=replica_app.is_quick,
            largest_body=replica_app.largest_quick_body,
            slots=serves._semaphore,
            metrics=serves._metrics_manager,
            request=_http_request(),
        )
    except AttributeError as error:
        _log.warning("Ray Serve handles all predictions: they cannot bypass it with this release of Ray (%s)", error)
        return None
    if found.is_quick:
        _log.info("Small predictions do not pass through Ray Serve: %s", ", ".join(sorted(found.paths)))
    return found


def _http_request() -> Any:
    from ray.serve._private.common import RequestMetadata, RequestProtocol

    return RequestMetadata(
        request_id="", internal_request_id="", _request_protocol=RequestProtocol.HTTP, is_direct_ingress=True
    )


def _is_prediction(scope: Scope, replica: ReplicaBehind) -> bool:
    return scope["type"] == "http" and scope["path"] in replica.paths and scope["method"] == "POST"


def _is_small(headers: Mapping[bytes, bytes], replica: ReplicaBehind) -> bool:
    length = headers.get(_LENGTH, b"")
    return length.isdigit() and int(length) <= replica.largest_body and _TIMEOUT not in headers


def _with_request_id(scope: Scope, headers: Mapping[bytes, bytes], send: Send) -> Send:
    """Return a ``send`` that adds the request's id to the response, as Serve does: its own, the ingress's, or a new one."""
    own = headers.get(_REQUEST_ID)
    header = (_REQUEST_ID, own or headers.get(_PREDICTION_ID) or str(uuid4()).encode("ascii"))
    if own is None:
        scope["headers"].append(header)

    def answering(message: Any) -> Awaitable[None]:
        if message["type"] == "http.response.start":
            message["headers"].append(header)
        return send(message)

    return answering


def _leave(replica: ReplicaBehind) -> None:
    replica.metrics.dec_num_ongoing_requests(replica.request)
    replica.slots.release()
