"""Lets in only what comes through the platform's ingress.

A replica listens on a port of its own: on one machine any user's process can reach it, on a cluster whoever reaches the nodes.
The ingress sends a token along that it and the replicas alone know.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, Final

from raylift.api.headers import INGRESS, raw

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

_REFUSAL: Final = b'{"error": "Requests come through the platform\'s own address."}'


def only_from_ingress(app: App, token: str | None) -> App:
    """``app`` for requests that carry ``token``; all others are answered 403. Without a token: ``app`` as it is."""
    if token is None:
        return app
    proof = (raw(INGRESS), token.encode())

    async def guarded(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or proof in scope["headers"]:
            await app(scope, receive, send)
        else:
            await _refuse(send)

    return guarded


async def _refuse(send: Send) -> None:
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(_REFUSAL)).encode())]
    await send({"type": "http.response.start", "status": 403, "headers": headers})
    await send({"type": "http.response.body", "body": _REFUSAL})
