"""What those who count and log are told of the requests to a replica."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from serve_apps.model_server.codecs.base import Response


@dataclass(slots=True)
class Exchange:
    """One prediction request and its answer."""

    route: str
    """Below the version's own: ``/predict``, ``/infer``, ``/invocations``, ``/v1:predict``."""
    headers: Sequence[tuple[bytes, bytes]]
    """Of the request, as ASGI has them."""
    body: bytes = b""
    response: Response | None = None
    """None where the client has gone before there was one."""
    seconds: float = 0.0
    """From the first byte of the body until the answer was ready to be sent."""
    rows: int = 0
    """Of the request; 0 where it was refused before they were read."""
    rows_together: int = 0
    """That were computed together with it, its own among them; 0 where none were."""

    def header(self, name: bytes) -> str | None:
        """The first of the request's headers of this name, which is in lower case."""
        return next((value.decode("latin-1") for key, value in self.headers if key == name), None)


class RequestObserver(Protocol):
    """Told on the loop, before and after each request: must be quick, and must not raise."""

    def began(self, route: str) -> None: ...

    def ended(self, exchange: Exchange) -> None:
        """Told of each that began."""
        ...


class _Unwatched:
    def began(self, route: str) -> None:
        """Nobody counts."""

    def ended(self, exchange: Exchange) -> None:
        """Nobody counts."""


UNOBSERVED: Final[RequestObserver] = _Unwatched()
