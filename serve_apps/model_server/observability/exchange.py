"""A prediction request with its response, as metrics, logs and payload logs see it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from raylift.api.headers import REQUEST_ID, TRACED, TRACEPARENT, raw
from raylift.domain.models.counters import ProtocolName
from serve_apps.model_server.codecs.base import Response

STATUS_CLIENT_GONE: Final = 499
"""Status in logs of a request whose client disconnected before the response."""

PROTOCOLS: Final = {
    "/predict": ProtocolName.RAYLIFT,
    "/infer": ProtocolName.OPEN_INFERENCE,
    "/invocations": ProtocolName.MLFLOW,
    "/v1:predict": ProtocolName.KSERVE_V1,
}
_REQUEST_ID: Final = raw(REQUEST_ID)
_TRACEPARENT: Final = raw(TRACEPARENT)
_TRACED: Final = raw(TRACED)
_ID: Final = re.compile(rb"[\x21-\x7e]{1,128}")
_TRACE: Final = re.compile(rb"[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}")


@dataclass(slots=True)
class Exchange:
    """A prediction request and its response."""

    route: str
    """Path below the version's route: ``/predict``, ``/infer``, ``/invocations`` or ``/v1:predict``."""
    headers: Sequence[tuple[bytes, bytes]]
    """ASGI's headers of the request."""
    body: bytes = b""
    response: Response | None = None
    """None if the client disconnected before it."""
    seconds: float = 0.0
    """Time from the complete body to the response."""
    rows: int = 0
    """Rows of the request; 0 if it was refused before they were read."""
    rows_together: int = 0
    """Rows that were computed together with its own, which are included; 0 if none were computed."""

    @property
    def protocol(self) -> ProtocolName:
        return PROTOCOLS.get(self.route, ProtocolName.OTHER)

    @property
    def request_id(self) -> str | None:
        """X-Request-ID, which Ray Serve adds where it is absent; None if it is malformed."""
        return self._header(_REQUEST_ID, _ID)

    @property
    def traceparent(self) -> str | None:
        """W3C's traceparent; None if it is absent or malformed."""
        return self._header(_TRACEPARENT, _TRACE)

    @property
    def is_traced(self) -> bool:
        """True if the client named the request itself, and so may search for it."""
        return any(name == _TRACED for name, _ in self.headers)

    def _header(self, name: bytes, shape: re.Pattern[bytes]) -> str | None:
        value = next((value for key, value in self.headers if key == name), None)
        return value.decode("ascii") if value is not None and shape.fullmatch(value) else None


class RequestObserver(Protocol):
    """Observes every prediction request. Called on the event loop: must be quick and must not raise."""

    def began(self, route: str) -> None: ...

    def ended(self, exchange: Exchange) -> None:
        """Called once for each ``began``."""
        ...


class _Unobserved:
    def began(self, route: str) -> None:
        """Do nothing."""

    def ended(self, exchange: Exchange) -> None:
        """Do nothing."""


UNOBSERVED: Final[RequestObserver] = _Unobserved()
