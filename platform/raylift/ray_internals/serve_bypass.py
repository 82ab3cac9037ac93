"""Answers quick predictions before Ray Serve does its own work for each request.

Of the CPU time of a replica that answers in microseconds, Serve's handling of the request is the larger half: two tasks, a
watch for the client's going, identifiers, context. None of it matters to a prediction that the loop answers at once. Such
requests are taken here, right behind the HTTP server. What Serve must know of them it is told: they count as ongoing
(autoscaling, draining) and take one of the replica's places. Where no place is free, and for all other requests, everything is
Serve's: its queue, its refusals, its timeouts.

Serve's autoscaling looks at what is ongoing every second or so, and hardly ever catches a prediction of microseconds: it would
take a version's last replica away from clients that ask ten times a second. So what was asked lately counts as hardly ongoing.

Serve calls :func:`middlewares` in each process that listens for it (``RAY_SERVE_HTTP_PROXY_CALLBACK_IMPORT_PATH``); in one that
is no replica of a quick model, the middleware hands everything on.
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

from raylift.ingress.access_token import App, Receive, Scope, Send
from raylift.ingress.headers import REQUEST

_log = logging.getLogger(__name__)

_REQUEST_ID: Final = b"x-request-id"
_INGRESS_NAME: Final = REQUEST.lower().encode("ascii")
_LENGTH: Final = b"content-length"
_TIMEOUT: Final = b"x-request-timeout-seconds"
_MS: Final = 1000
_HARDLY: Final = 2.0**-20
"""Requests: enough for one replica, too little for two. A power of two, so that sums and differences with it are exact."""
_LATELY_SECONDS: Final = 3.0
"""More than Serve takes between two looks: a fifth of ``look_back_period_s``, and at most ``metrics_interval_s``."""


class BypassedApp(Protocol):
    """The application of a version that says which of its requests may bypass Serve."""

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
    """A replica of a version, and what Ray Serve keeps of it."""

    app: App
    """Answers for the version: what Serve would call in the end."""
    route: str
    paths: frozenset[str]
    """Of predictions."""
    is_quick: bool
    """Whether the loop answers them itself."""
    largest_body: int
    """In bytes: larger ones are answered in a thread."""
    places: Any
    """Serve's semaphore of ``max_ongoing_requests``."""
    metrics: Any
    """Serve's ``ReplicaMetricsManager``."""
    request: Any
    """What the manager is told of each request: a ``RequestMetadata`` that is the same for all."""
    was_asked_lately: bool = False

    def note_asked(self, loop: asyncio.AbstractEventLoop) -> None:
        if not self.was_asked_lately:
            self.was_asked_lately = True
            self._count(_HARDLY)
            loop.call_later(_LATELY_SECONDS, self._forget)

    def _forget(self) -> None:
        self.was_asked_lately = False
        self._count(-_HARDLY)

    def _count(self, requests: float) -> None:
        self.metrics._change_num_ongoing_requests(self.request, requests)


def middlewares() -> list[Middleware]:
    """What Ray Serve puts around its own handling of HTTP requests."""
    return [Middleware(ShortWay)]  # pyright: ignore[reportArgumentType] - ours is more exact than Starlette's protocol


class ShortWay:
    """ASGI middleware: small requests for quick predictions go to the replica's application, all others to Ray Serve."""

    def __init__(self, app: App, find: Callable[[App], ReplicaBehind | None] | None = None) -> None:
        """``app`` is Serve's; ``find`` looks for the replica behind it. To be called on the loop that answers."""
        self._serve = app
        self._replica = (find or replica_behind)(app)
        self._loop = asyncio.get_running_loop()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        replica = self._replica
        if replica is None or not _is_prediction(scope, replica):
            await self._serve(scope, receive, send)
            return
        replica.note_asked(self._loop)
        if not replica.is_quick or replica.places.locked() or not _is_small(headers := dict(scope["headers"]), replica):
            await self._serve(scope, receive, send)
            return
        await replica.places.acquire()  # there is one: nobody comes between
        replica.metrics.inc_num_ongoing_requests(replica.request)
        started = perf_counter()
        try:
            await replica.app(scope, receive, _with_request_id(scope, headers, send))
        finally:
            # In the loop's next turn: Serve's count, which its autoscaling samples between turns, sees what came together.
            self._loop.call_soon(_leave, replica)
            milliseconds = (perf_counter() - started) * _MS
            replica.metrics.record_request_metrics(route=replica.route, latency_ms=milliseconds, is_error=False)


def replica_behind(app: App) -> ReplicaBehind | None:
    """The replica that Serve's ``app`` answers for, if it is one of a version.

    Serve tells middleware nothing of the replica: it is found through Serve's own objects. Where another release of Ray has
    them differently, a line in the log says so, and all requests take Serve's way.
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
            places=serves._semaphore,
            metrics=serves._metrics_manager,
            request=_http_request(),
        )
    except AttributeError as error:
        _log.warning("Predictions take Ray Serve's way: this release of Ray has no short one (%s)", error)
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
    """Gives the request's id back, as Serve does. One that has none gets the name that the ingress gave it, or a new one."""
    own = headers.get(_REQUEST_ID)
    header = (_REQUEST_ID, own or headers.get(_INGRESS_NAME) or str(uuid4()).encode("ascii"))
    if own is None:
        scope["headers"].append(header)

    def answering(message: Any) -> Awaitable[None]:
        if message["type"] == "http.response.start":
            message["headers"].append(header)
        return send(message)

    return answering


def _leave(replica: ReplicaBehind) -> None:
    replica.metrics.dec_num_ongoing_requests(replica.request)
    replica.places.release()
