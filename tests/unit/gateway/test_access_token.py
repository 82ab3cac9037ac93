"""Access to a replica's own port."""

from __future__ import annotations

from typing import Any

import pytest

from raylift.api.headers import INGRESS
from raylift.ingress.access_token import Receive, Scope, Send, only_from_ingress

_TOKEN = "0123456789abcdef"
_HEADER = INGRESS.lower().encode()


async def _inner(scope: Scope, receive: Receive, send: Send) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": []})


async def _status(token: str | None, *headers: tuple[bytes, bytes]) -> int:
    answers: list[Any] = []

    async def send(message: Any) -> None:
        answers.append(message)

    async def receive() -> dict[str, Any]:
        raise AssertionError("nobody reads what a stranger sends")

    await only_from_ingress(_inner, token)({"type": "http", "headers": list(headers)}, receive, send)
    return answers[0]["status"]


async def test_request_with_the_token_passes() -> None:
    assert await _status(_TOKEN, (b"host", b"x"), (_HEADER, _TOKEN.encode())) == 200


@pytest.mark.parametrize(
    "header",
    [
        (_HEADER, b""),
        (_HEADER, b"0123456789abcde"),
        (_HEADER, b"0123456789abcdef0"),
        (_HEADER, b"0123456789ABCDEF"),
        (b"authorization", _TOKEN.encode()),
    ],
)
async def test_request_without_the_token_is_refused(header: tuple[bytes, bytes]) -> None:
    assert await _status(_TOKEN, header) == 403
    assert await _status(_TOKEN) == 403


async def test_every_request_passes_without_a_configured_token() -> None:
    assert only_from_ingress(_inner, None) is _inner
    assert await _status(None) == 200


async def test_lifespan_messages_pass() -> None:
    """A server sends them at its start and end. No client can."""
    seen: list[str] = []

    async def inner(scope: Scope, receive: Receive, send: Send) -> None:
        seen.append(scope["type"])

    guarded: Any = only_from_ingress(inner, _TOKEN)
    await guarded({"type": "lifespan"}, None, None)
    assert seen == ["lifespan"]
