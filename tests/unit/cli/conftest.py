"""A platform with scripted answers on a real loopback port: the command line opens its own connections."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from raylift.cli.app import app
from tests.unit.job_resource import job_resource

_JOB_ID = "job_01JABCDEFGHJKMNPQRSTVWXYZ0"


@dataclass
class Reply:
    status: int = 200
    body: Any = None
    headers: dict[str, str] = field(default_factory=dict)


@dataclass
class Platform:
    """Returns the scripted answers of each (method, path) in order. The last answer is repeated."""

    url: str = ""
    replies: dict[tuple[str, str], list[Reply]] = field(default_factory=dict)
    requests: list[tuple[str, str, Any, dict[str, str]]] = field(default_factory=list)

    def on(self, method: str, path: str, *bodies: Any, status: int = 200, headers: dict[str, str] | None = None) -> None:
        self.replies[method, path] = [Reply(status, body, headers or {}) for body in bodies]

    def refuse(self, method: str, path: str, status: int, code: str, detail: str, **facts: Any) -> None:
        body = {"title": "No", "status": status, "detail": detail, "code": code, **facts}
        self.on(method, path, body, status=status)

    def sent(self, method: str, path: str) -> list[Any]:
        return [body for how, where, body, _ in self.requests if (how, where.partition("?")[0]) == (method, path)]


class _Handler(BaseHTTPRequestHandler):
    platform: Platform

    def answer(self) -> None:
        length = int(self.headers.get("Content-Length") or 0)
        raw = self.rfile.read(length)
        is_json = self.headers.get("Content-Type", "").startswith("application/json")
        body = json.loads(raw) if is_json else raw or None
        self.platform.requests.append((self.command, self.path, body, dict(self.headers)))
        queue = self.platform.replies.get((self.command, self.path.partition("?")[0]))
        if not queue:
            queue = [Reply(404, {"detail": f"There is nothing at {self.path}.", "code": "not_found"})]
        reply = queue.pop(0) if len(queue) > 1 else queue[0]
        answer = (
            b""
            if reply.body is None
            else reply.body.encode()
            if isinstance(reply.body, str)
            else json.dumps(reply.body).encode()
        )
        self.send_response(reply.status)
        for name, value in {"Content-Length": str(len(answer)), **reply.headers}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(answer)

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = answer  # noqa: N815

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
        pass


@pytest.fixture
def platform(monkeypatch: pytest.MonkeyPatch) -> Iterator[Platform]:
    platform = Platform()
    handler = type("Handler", (_Handler,), {"platform": platform})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        platform.url = f"http://127.0.0.1:{server.server_port}"
        monkeypatch.setenv("RAYLIFT_URL", platform.url)
        monkeypatch.delenv("RAYLIFT_API_KEY", raising=False)
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield platform
        server.shutdown()
        thread.join()


@pytest.fixture
def run(platform: Platform) -> Callable[..., Result]:
    def run(*args: str, stdin: str | None = None) -> Result:
        return CliRunner().invoke(app, list(args), input=stdin)

    return run


@pytest.fixture
def job() -> Callable[..., dict[str, Any]]:
    def job(status: str = "running", **changes: Any) -> dict[str, Any]:
        return job_resource(status, **{"job_id": _JOB_ID, "from_the_future": "kept in JSON", **changes})

    return job


@pytest.fixture
def job_id() -> str:
    return _JOB_ID
