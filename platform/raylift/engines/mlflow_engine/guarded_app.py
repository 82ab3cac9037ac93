"""MLflow's ASGI application, for holders of a credential: ``mlflow server --app-name raylift-keys``.

MLflow's port is on loopback, where every user of the machine reaches it. Users come through the platform's ingress, which
checks their key and adds a credential.
"""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Final

from raylift.domain.identifiers import DEFAULT_WORKSPACE
from raylift.engines.mlflow_engine.live_jobs import FILE as LIVE_JOBS_FILE
from raylift.engines.mlflow_engine.live_jobs import LiveJobs
from raylift.engines.mlflow_engine.scoped_app import App, Receive, Scope, ScopedApp, Send, refuse
from raylift.engines.mlflow_engine.signed_credentials import Bearer, Credential, read

APP_NAME: Final = "raylift-keys"
"""Entry point of the group ``mlflow.app`` (pyproject.toml)."""
SECRET_FILE_VARIABLE: Final = "RAYLIFT_MLFLOW_SECRET_FILE"  # noqa: S105 - a variable's name
_OPEN: Final = frozenset({"/health", "/version"})
_READS: Final = frozenset({"GET", "HEAD"})


def create_app() -> App:
    """Return MLflow's application behind the secret in the file that RAYLIFT_MLFLOW_SECRET_FILE names."""
    from raylift.engines.mlflow_engine import server_app

    file = Path(os.environ[SECRET_FILE_VARIABLE])  # noqa: TID251 - a root
    secret = file.read_text(encoding="ascii").strip()
    return only_with_credential(server_app.create_app(), secret, LiveJobs(file.with_name(LIVE_JOBS_FILE)))


def only_with_credential(app: ScopedApp, secret: str, jobs: LiveJobs) -> App:
    """Wrap ``app`` to answer requests without a valid credential with 401, and others in the workspace of theirs.

    Replicas only read, jobs only while they live.
    """

    async def guarded(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan" or (scope["type"] == "http" and scope["path"] in _OPEN):
            # In one workspace: no answer tells which others there are.
            await app(scope, receive, send, DEFAULT_WORKSPACE)
        elif scope["type"] != "http":
            await send({"type": "websocket.close", "code": 1008})
        elif (credential := _credential(scope, secret, jobs)) is None:
            await refuse(send, 401, "PERMISSION_DENIED", "MLflow needs a credential of the platform.")
        else:
            await app(scope, receive, send, credential.workspace)

    return guarded


def _credential(scope: Scope, secret: str, jobs: LiveJobs) -> Credential | None:
    text = next((value for name, value in scope["headers"] if name == b"authorization"), b"").decode("latin-1")
    scheme, _, token = text.partition(" ")
    credential = read(secret, token.strip(), now=time.time()) if scheme.lower() == "bearer" else None
    if credential is None:
        return None
    if credential.bearer is Bearer.JOB and jobs.has_ended(credential.subject, issued=credential.issued):
        return None
    return credential if credential.bearer is not Bearer.REPLICA or scope["method"] in _READS else None
