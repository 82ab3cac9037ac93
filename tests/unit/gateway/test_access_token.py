"""Who may talk to a replica's own port."""

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


async def test_the_ingress_is_let_in() -> None:
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
async def test_strangers_are_not(header: tuple[bytes, bytes]) -> None:
    assert await _status(_TOKEN, header) == 403
    assert await _status(_TOKEN) == 403


async def test_without_a_token_there_is_no_door() -> None:
    assert only_from_ingress(_inner, None) is _inner
    assert await _status(None) == 200


async def test_what_is_no_request_passes() -> None:
    """A server tells the application when it starts and ends: nobody outside can say that."""
    seen: list[str] = []

    async def inner(scope: Scope, receive: Receive, send: Send) -> None:
        seen.append(scope["type"])

    guarded: Any = only_from_ingress(inner, _TOKEN)
    await guarded({"type": "lifespan"}, None, None)
    assert seen == ["lifespan"]
