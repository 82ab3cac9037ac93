"""Rejects requests to a replica that did not come through the ingress.

A replica's port is open to every process of the machine, or of the cluster's network. The ingress adds a token that only it
and the replicas know.
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
    """Wrap ``app`` to answer requests without ``token`` with 403. Without a token, return ``app`` itself."""
    if token is None:
        return app
    proof = (raw(INGRESS), token.encode())

    async def guarded(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or proof in scope["headers"]:
            await app(scope, receive, send)
        else:
            headers = [(b"content-type", b"application/json"), (b"content-length", str(len(_REFUSAL)).encode())]
            await send({"type": "http.response.start", "status": 403, "headers": headers})
            await send({"type": "http.response.body", "body": _REFUSAL})

    return guarded
