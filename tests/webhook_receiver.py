"""A receiver of webhooks: an HTTP server that keeps what it gets, in this process or in one of its own.

As a process: arguments are the file for the requests, one JSON a line, and every how many requests one is refused with 500. It
prints its port.
"""

from __future__ import annotations

import json
import ssl
import sys
import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from standardwebhooks.webhooks import Webhook


@dataclass(frozen=True)
class Received:
    """One request."""

    path: str
    headers: dict[str, str]
    """Names are in lower case."""
    body: bytes

    @property
    def id(self) -> str:
        return self.headers["webhook-id"]

    def verified(self, secret: str) -> Any:
        """Return the JSON of the body. Raises unless a signature is of this secret, by the library of Standard Webhooks."""
        return Webhook(secret).verify(self.body, self.headers)


Answering = Callable[[BaseHTTPRequestHandler, Received], None]


def answer_200(handler: BaseHTTPRequestHandler, _: Received) -> None:
    reply(handler, 200, b"thanks")


def reply(handler: BaseHTTPRequestHandler, status: int, body: bytes = b"", **headers: str) -> None:
    handler.send_response(status)
    for name, value in {**headers, "Content-Length": str(len(body))}.items():
        handler.send_header(name.replace("_", "-"), value)
    handler.end_headers()
    handler.wfile.write(body)


@dataclass
class Receiver:
    port: int
    scheme: str = "http"
    requests: list[Received] = field(default_factory=list)
    answer: Answering = answer_200

    @property
    def url(self) -> str:
        return f"{self.scheme}://127.0.0.1:{self.port}/hook"


@contextmanager
def receiver(answer: Answering = answer_200, *, certificate: tuple[Path, Path] | None = None) -> Generator[Receiver]:
    """Run a receiver in threads of this process, with TLS if there is a certificate and its key."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), BaseHTTPRequestHandler)
    server.daemon_threads = True
    found = Receiver(server.server_port, "http" if certificate is None else "https", answer=answer)

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            got = read(self)
            found.requests.append(got)
            found.answer(self, got)

        def log_message(self, format: str, *args: Any) -> None: ...  # noqa: A002 (the library's name)

    server.RequestHandlerClass = Handler
    if certificate is not None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*certificate)
        server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield found
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def read(handler: BaseHTTPRequestHandler) -> Received:
    body = handler.rfile.read(int(handler.headers.get("Content-Length", "0")))
    return Received(handler.path, {name.lower(): value for name, value in handler.headers.items()}, body)


def main(file: str, refuses_each: str) -> None:
    lock, count = threading.Lock(), 0

    def keep(handler: BaseHTTPRequestHandler, got: Received) -> None:
        nonlocal count
        with lock:
            count += 1
            accepted = count % int(refuses_each) != 0
            with Path(file).open("a", encoding="utf-8") as opened:
                line = {"headers": got.headers, "body": got.body.decode(), "accepted": accepted}
                opened.write(f"{json.dumps(line)}\n")
        reply(handler, 200 if accepted else 500)

    with receiver(keep) as found:
        print(found.port, flush=True)
        sys.stdin.read()  # Until the test closes it.


if __name__ == "__main__":
    main(*sys.argv[1:])
