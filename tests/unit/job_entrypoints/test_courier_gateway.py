"""The courier's client: which answers end an attempt, and which are only those of a gateway that is not there yet."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from job_entrypoints.contract import ATTEMPT_OVER
from job_entrypoints.courier.gateway import Gateway, Refused, Unreachable

MESSAGE = {"sent_at": 1.0, "offset": 0, "progress": None, "usage": None}


def problem(code: str) -> str:
    return json.dumps({"detail": "A sentence.", "code": code})


@contextmanager
def answering(status: int, body: str) -> Iterator[Gateway]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body.encode())

        def log_message(self, format: str, *args: object) -> None: ...  # noqa: A002 - its name

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield Gateway(f"http://127.0.0.1:{server.server_port}", "job_1-a1", "token")
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.fixture
def report() -> Callable[[int, str], None]:
    def send(status: int, body: str) -> None:
        with answering(status, body) as gateway:
            gateway.report(MESSAGE, b"")  # type: ignore[arg-type]

    return send


def test_attempt_ends_when_the_platform_says_so(report: Callable[[int, str], None]) -> None:
    with pytest.raises(Refused, match="A sentence") as caught:
        report(409, problem(ATTEMPT_OVER))
    assert caught.value.is_over


@pytest.mark.parametrize(("status", "code"), [(401, "unauthenticated"), (404, "not_found"), (409, "stale_job")])
def test_other_refusals_end_no_attempt(report: Callable[[int, str], None], status: int, code: str) -> None:
    with pytest.raises(Refused) as caught:
        report(status, problem(code))
    assert not caught.value.is_over


@pytest.mark.parametrize("status", [404, 409, 503])
def test_proxy_without_a_gateway_is_asked_again(report: Callable[[int, str], None], status: int) -> None:
    with pytest.raises(Unreachable):
        report(status, "Path '/mlops/attempts/job_1-a1/report' not found.")
