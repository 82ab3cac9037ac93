"""MLflow's application, each request in one workspace.

MLflow's workspace mode takes the workspace from a header, which any client may write. Here a request gets the header of the
workspace in its credential, or of the platform's own prefix. Only admins and the platform choose.
"""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from typing import Any, Final

from raylift.domain.identifiers import OWNER
from raylift.domain.models.workspaces import PREFIX, mlflow_workspace

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]
MakeWorkspace = Callable[[str, str], None]
"""Makes a workspace in MLflow unless it exists, by its name there and the platform's name. Blocks."""

_HEADER: Final = b"x-mlflow-workspace"
_WORKSPACES: Final = re.compile(r"/+(?:ajax-)?api/+[^/]+/+mlflow/+workspaces(?:/+(?P<name>[^/]*))?/*")
_OF_THE_SERVER: Final = re.compile(r".*/mlflow/+(?:assistant|demo|gateway-proxy)(?:/.*)?|/+metrics/*|/+gateway(?:/.*)?")
"""Features of MLflow that act for the whole server, such as its assistant, which runs commands."""


class ScopedApp:
    """The application. ``make_workspace`` is None where the server has no workspaces: all is in one then."""

    def __init__(self, app: App, make_workspace: MakeWorkspace | None) -> None:
        self._app = app
        self._make = make_workspace
        self._made: set[str] = set()

    async def __call__(self, scope: Scope, receive: Receive, send: Send, workspace: str | None = None) -> None:
        """Answer a request that is limited to ``workspace``. Without it, the platform's prefix may name one."""
        if scope["type"] == "http":
            if workspace is None and scope["path"].startswith(f"{PREFIX}/"):
                scope, workspace = _without_prefix(scope)
                if not OWNER.fullmatch(workspace):
                    await refuse(send, 404, "RESOURCE_DOES_NOT_EXIST", f"Workspace {workspace!r} not found")
                    return
            if self._make is not None:
                wanted = [value for name, value in scope["headers"] if _is_header(name)]
                names = {mlflow_workspace(value.decode("latin-1").strip()) for value in wanted if value.strip()}
                if workspace is not None:
                    own = mlflow_workspace(workspace)
                    if await _refused(scope, send, own, names - {own}):
                        return
                    await self._ensure(own, workspace)
                    names = {own}
                scope = _with_header(scope, names)
        await self._app(scope, receive, send)

    async def _ensure(self, name: str, title: str) -> None:
        if self._make is not None and name not in self._made:
            await asyncio.to_thread(self._make, name, title)
            self._made.add(name)


async def refuse(send: Send, status: int, code: str, message: str) -> None:
    """Answer in MLflow's form of an error."""
    await _answer(send, status, {"error_code": code, "message": message})


async def _refused(scope: Scope, send: Send, own: str, others: Iterable[str]) -> bool:
    """Answer what a request limited to the workspace ``own`` may not have, and the list of workspaces: its own."""
    path, asked = scope["path"], _WORKSPACES.fullmatch(scope["path"])
    unknown = [*others, *([asked["name"]] if asked and asked["name"] not in (None, "", own) else [])]
    if unknown:
        await refuse(send, 404, "RESOURCE_DOES_NOT_EXIST", f"Workspace '{unknown[0]}' not found")
    elif asked and scope["method"] != "GET":
        await refuse(send, 403, "PERMISSION_DENIED", "Workspaces are made with their keys, by an admin.")
    elif asked and not asked["name"]:
        await _answer(send, 200, {"workspaces": [{"name": own}]})
    elif _OF_THE_SERVER.fullmatch(path):
        await refuse(send, 403, "PERMISSION_DENIED", "This part of MLflow acts for all workspaces. It is for admins.")
    else:
        return False
    return True


async def _answer(send: Send, status: int, content: Any) -> None:
    body = json.dumps(content).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def _without_prefix(scope: Scope) -> tuple[Scope, str]:
    workspace, _, path = scope["path"].removeprefix(f"{PREFIX}/").partition("/")
    _, _, _, *raw = scope.get("raw_path", b"").split(b"/", 3)
    return {**scope, "path": f"/{path}", "raw_path": b"/" + b"".join(raw)}, workspace


def _is_header(name: bytes) -> bool:
    # MLflow's Flask application sees both forms as one.
    return name.lower().replace(b"_", b"-") == _HEADER


def _with_header(scope: Scope, names: Iterable[str]) -> Scope:
    kept = [(name, value) for name, value in scope["headers"] if not _is_header(name)]
    return {**scope, "headers": [*kept, *((_HEADER, name.encode("ascii")) for name in names)]}
