"""What a protocol is to a replica: bytes to a request, an answer to bytes, an error to bytes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from raylift.domain.errors import PlatformError
from serve_apps.model_server.model import Model, PredictionRequest, PredictionResult

Headers = Mapping[str, str]
"""Request headers, their names in lower case."""


class RequestHeaders(Mapping[str, str]):
    """ASGI's list of headers. Decoded only as far as somebody looks: most requests are answered without."""

    def __init__(self, raw: Sequence[tuple[bytes, bytes]]) -> None:
        self._raw = raw

    def __getitem__(self, name: str) -> str:
        wanted = name.encode("latin-1")
        for key, value in reversed(self._raw):
            if key == wanted:
                return value.decode("latin-1")
        raise KeyError(name)

    def __contains__(self, name: object) -> bool:
        # Most of what is asked for is not there, and raising costs more than looking.
        wanted = name.encode("latin-1") if isinstance(name, str) else name
        return any(key == wanted for key, _ in self._raw)

    def __iter__(self) -> Iterator[str]:
        return iter(dict.fromkeys(key.decode("latin-1") for key, _ in self._raw))

    def __len__(self) -> int:
        return len({key for key, _ in self._raw})


@dataclass(frozen=True, slots=True)
class Response:
    status: int
    body: bytes
    media_type: str = "application/json"
    headers: Mapping[str, str] = field(default_factory=dict[str, str])
    error: str | None = None
    """The code of the error that this answers, for those who count; no client sees it here."""


class Codec(Protocol):
    """One protocol's prediction route."""

    def decode(self, body: bytes, headers: Headers, model: Model) -> PredictionRequest:
        """Read a request.

        Raises:
            PlatformError: One of ``errors.py``.
        """
        ...

    def encode(self, answer: PredictionResult, request: PredictionRequest, model: Model) -> Response: ...

    def error(self, error: PlatformError, path: str) -> Response: ...
