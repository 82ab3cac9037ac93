"""MLflow's ASGI application, for holders of a credential: ``mlflow server --app-name raylift-keys``.

MLflow's port is on loopback, where every user of the machine reaches it. Users come through the platform's ingress, which
checks their key and adds a credential.
"""

from __future__ import annotations

import os
import time
from collections.abc import Awaitable, Callable, MutableMapping
from pathlib import Path
from typing import Any, Final

from raylift.engines.mlflow_engine.live_jobs import FILE as LIVE_JOBS_FILE
from raylift.engines.mlflow_engine.live_jobs import LiveJobs
from raylift.engines.mlflow_engine.signed_credentials import Bearer, read

APP_NAME: Final = "raylift-keys"
"""Entry point of the group ``mlflow.app`` (pyproject.toml)."""
SECRET_FILE_VARIABLE: Final = "RAYLIFT_MLFLOW_SECRET_FILE"  # noqa: S105 - a variable's name
_OPEN: Final = frozenset({"/health", "/version"})
_READS: Final = frozenset({"GET", "HEAD"})
_BODY: Final = b'{"error_code": "PERMISSION_DENIED", "message": "MLflow needs a credential of the platform."}'

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]


def create_app() -> App:
    """Return MLflow's application behind the secret in the file that RAYLIFT_MLFLOW_SECRET_FILE names."""
    from raylift.engines.mlflow_engine import server_app

    file = Path(os.environ[SECRET_FILE_VARIABLE])  # noqa: TID251 - a root
    secret = file.read_text(encoding="ascii").strip()
    return only_with_credential(server_app.create_app(), secret, LiveJobs(file.with_name(LIVE_JOBS_FILE)))


def only_with_credential(app: App, secret: str, jobs: LiveJobs) -> App:
    """Wrap ``app`` to answer requests without a valid credential with 401. Replicas only read, jobs only while they live."""

    async def guarded(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan" or (scope["type"] == "http" and _is_allowed(scope, secret, jobs)):
            await app(scope, receive, send)
        elif scope["type"] == "http":
            headers = [(b"content-type", b"application/json"), (b"content-length", str(len(_BODY)).encode())]
            await send({"type": "http.response.start", "status": 401, "headers": headers})
            await send({"type": "http.response.body", "body": _BODY})
        else:
            await send({"type": "websocket.close", "code": 1008})

    return guarded


def _is_allowed(scope: Scope, secret: str, jobs: LiveJobs) -> bool:
    if scope["path"] in _OPEN:
        return True
    text = next((value for name, value in scope["headers"] if name == b"authorization"), b"").decode("latin-1")
    scheme, _, token = text.partition(" ")
    credential = read(secret, token.strip(), now=time.time()) if scheme.lower() == "bearer" else None
    if credential is None:
        return False
    if credential.bearer is Bearer.JOB and jobs.has_ended(credential.subject, issued=credential.issued):
        return False
    return credential.bearer is not Bearer.REPLICA or scope["method"] in _READS
