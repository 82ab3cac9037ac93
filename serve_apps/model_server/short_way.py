"""Answers quick predictions before Ray Serve does its own work for each request.

Of the CPU time of a replica that answers in microseconds, Serve's handling of the request is the larger half: two tasks, a
watch for the client's going, identifiers, context. None of it matters to a prediction that the loop answers at once. Such
requests are taken here, right behind the HTTP server. What Serve must know of them it is told: they count as ongoing
(autoscaling, draining) and take one of the replica's places. Where no place is free, and for all other requests, everything is
Serve's: its queue, its refusals, its timeouts.

Serve calls :func:`middlewares` in each process that listens for it (``RAY_SERVE_HTTP_PROXY_CALLBACK_IMPORT_PATH``); in one that
is no replica of a quick model, the middleware hands everything on.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from time import perf_counter
from typing import TYPE_CHECKING, Any, Final
from uuid import uuid4

from starlette.middleware import Middleware

from raylift.domain.ingress_headers import REQUEST
from serve_apps.doorkeeper import App, Receive, Scope, Send

if TYPE_CHECKING:
    from serve_apps.model_server.asgi import ReplicaApp

_log = logging.getLogger(__name__)

_REQUEST_ID: Final = b"x-request-id"
_INGRESS_NAME: Final = REQUEST.lower().encode("ascii")
_LENGTH: Final = b"content-length"
_TIMEOUT: Final = b"x-request-timeout-seconds"
_MS: Final = 1000


@dataclass(frozen=True, slots=True)
class QuickReplica:
    """A replica of a quick model, and what Ray Serve keeps of it."""

    app: App
    """Answers for the version: what Serve would call in the end."""
    route: str
    paths: frozenset[str]
    """Of predictions that the loop answers itself."""
    largest_body: int
    """In bytes: larger ones are answered in a thread."""
    places: Any
    """Serve's semaphore of ``max_ongoing_requests``."""
    metrics: Any
    """Serve's ``ReplicaMetricsManager``."""
    request: Any
    """What the manager is told of each request: a ``RequestMetadata`` that is the same for all."""


def middlewares() -> list[Middleware]:
    """What Ray Serve puts around its own handling of HTTP requests."""
    return [Middleware(ShortWay)]  # pyright: ignore[reportArgumentType] - ours is more exact than Starlette's protocol


class ShortWay:
    """ASGI middleware: small requests for quick predictions go to the replica's application, all others to Ray Serve."""

    def __init__(self, app: App, find: Callable[[App], QuickReplica | None] | None = None) -> None:
        """``app`` is Serve's; ``find`` looks for the quick replica behind it."""
        self._serve = app
        self._replica = (find or quick_replica)(app)
        self._loop = asyncio.get_running_loop() if self._replica else None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        replica = self._replica
        if replica is None or not _may_be_short(scope, replica) or not _is_small(headers := dict(scope["headers"]), replica):
            await self._serve(scope, receive, send)
            return
        await replica.places.acquire()  # there is one: nobody comes between
        replica.metrics.inc_num_ongoing_requests(replica.request)
        started = perf_counter()
        try:
            await replica.app(scope, receive, _with_request_id(scope, headers, send))
        finally:
            # In the loop's next turn: Serve's count, which its autoscaling samples between turns, sees what came together.
            self._loop.call_soon(_leave, replica)  # pyright: ignore[reportOptionalMemberAccess] - there is one where a replica is
            milliseconds = (perf_counter() - started) * _MS
            replica.metrics.record_request_metrics(route=replica.route, latency_ms=milliseconds, is_error=False)


def quick_replica(app: App) -> QuickReplica | None:
    """The replica that Serve's ``app`` answers for, if it is one of a quick model.

    Serve tells middleware nothing of the replica: it is found through Serve's own objects. Where another release of Ray has
    them differently, a line in the log says so, and all requests take Serve's way.
    """
    serves: Any = getattr(getattr(app, "_app", None), "__self__", None)
    ours: Any = getattr(getattr(serves, "_user_callable_wrapper", None), "user_callable", None)
    replica_app: ReplicaApp | None = getattr(ours, "replica_app", None)
    if replica_app is None or not replica_app.quick_paths:
        return None
    # Imported here: whoever asks for the middleware and is no replica has not loaded NumPy and pandas.
    from serve_apps.model_server.asgi import LARGEST_QUICK_BODY

    try:
        found = QuickReplica(
            app=ours.app,
            route=replica_app.route,
            paths=replica_app.quick_paths,
            largest_body=LARGEST_QUICK_BODY,
            places=serves._semaphore,
            metrics=serves._metrics_manager,
            request=_http_request(),
        )
    except AttributeError as error:
        _log.warning("Quick predictions take Ray Serve's way: this release of Ray has no short one (%s)", error)
        return None
    _log.info("Quick predictions do not pass through Ray Serve: %s", ", ".join(sorted(found.paths)))
    return found


def _http_request() -> Any:
    from ray.serve._private.common import RequestMetadata, RequestProtocol

    return RequestMetadata(
        request_id="", internal_request_id="", _request_protocol=RequestProtocol.HTTP, is_direct_ingress=True
    )


def _may_be_short(scope: Scope, replica: QuickReplica) -> bool:
    is_prediction = scope["type"] == "http" and scope["path"] in replica.paths and scope["method"] == "POST"
    return is_prediction and not replica.places.locked()


def _is_small(headers: Mapping[bytes, bytes], replica: QuickReplica) -> bool:
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


def _leave(replica: QuickReplica) -> None:
    replica.metrics.dec_num_ongoing_requests(replica.request)
    replica.places.release()
