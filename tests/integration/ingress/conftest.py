"""The real HAProxy with our rules, between a client and two servers that echo their requests: a replica and the gateway."""

from __future__ import annotations

import json
import socket
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest

from raylift.api.headers import PREDICTION_ID
from raylift.ingress.allowed_hosts import LOOPBACK_NAMES
from raylift.ingress.engine_pages import EnginePages
from raylift.ingress.guard import Guard
from raylift.ingress.haproxy import haproxy_binary
from raylift.ingress.haproxy_config import defaults_rules, frontend_rules
from raylift.ingress.keys import KeyMaps
from raylift.ingress.limits import limit_tables
from raylift.ingress.route_map import IngressMap, names_file
from raylift.ingress.tls import listener, write_pem

BUFFER_BYTES = 64 * 1024
TOKEN = "0123456789abcdef"
ROUTE = "/v2/models/churn/versions/3"
INFERENCE = "/mlops/inference"
PLAIN = b'{"model_name": "churn", "inputs": [[1.0, 2.0]]}'
NAMES = {"churn": ROUTE, "5": ROUTE, "versions": ROUTE, "gone": "/v2/models/gone/versions/1"}

_CONFIG = """global
    stats socket {directory}/node/a.sock mode 600 level admin expose-fd listeners
    nbthread 2
    tune.bufsize {buffer}
defaults
    mode http
    timeout connect 5s
    timeout client 60s
    timeout server 60s
    timeout http-keep-alive 60s
    option abortonclose
    option idle-close-on-response
    option redispatch 1
    retry-on conn-failure empty-response
{defaults}frontend http_frontend
    bind 127.0.0.1:{port} {listener}
{rules}    acl is_version path_beg {route}/
    acl is_version path {route}
    use_backend version if is_version
    use_backend nobody if {{ path_beg /v2/models/gone/versions/ }}
    default_backend gateway
backend version
    http-reuse always
    server one 127.0.0.1:{replica}
    server two 127.0.0.1:{replica}
backend gateway
    http-reuse always
    server one 127.0.0.1:{gateway}
backend nobody
{sections}"""


_UPGRADED = (
    b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n"
)
"""The answer to the key of RFC 6455."""


class _Says(BaseHTTPRequestHandler):
    """Echoes its request. The query can ask for another answer, or for a broken connection."""

    protocol_version = "HTTP/1.1"
    server: Server  # pyright: ignore[reportIncompatibleVariableOverride]

    def _answer(self) -> None:
        chunked = self.headers.get("Transfer-Encoding") == "chunked"
        body = self._chunks() if chunked else self.rfile.read(int(self.headers.get("Content-Length", 0)))
        query = parse_qs(urlsplit(self.path).query)
        self.server.asked.append(f"{self.command} {self.path}")
        self.server.requests.append(self.headers.get(PREDICTION_ID))
        if "breaks" in query and self.server.breaks(query["breaks"][0], int(query.get("times", ["1"])[0])):
            self.close_connection = True
            self.connection.shutdown(socket.SHUT_RDWR)
            return
        time.sleep(float(query.get("sleeps", ["0"])[0]))
        if "streams" in query or "tunnels" in query:
            self._speak_twice(query)
            return
        status = int(query.get("status", ["200"])[0])
        told = {
            "who": self.server.who,
            "path": self.path,
            "method": self.command,
            "headers": {name.lower(): value for name, value in self.headers.items()},
            "body": body.decode("latin-1"),
            "predictions": [0.5],
        }
        text = b"Request dropped due to backpressure" if status != 200 else json.dumps(told).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json" if status == 200 else query.get("kind", ["text/plain"])[0])
        self.send_header("Content-Length", str(len(text)))
        if "rows" in query:
            self.send_header("X-Raylift-Rows", query["rows"][0])
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(text)

    def _speak_twice(self, query: dict[str, list[str]]) -> None:
        """Stream two lines with a silence between them, in a body without a length or on an upgraded connection."""
        tunnel = "tunnels" in query
        head = _UPGRADED if tunnel else b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n"
        self.wfile.write(head + b"first\n")
        time.sleep(float(query["tunnels" if tunnel else "streams"][0]))
        self.wfile.write(b"second\n")
        self.close_connection = True

    do_GET = do_POST = do_HEAD = do_DELETE = _answer  # noqa: N815 - the base class' names

    def _chunks(self) -> bytes:
        body = b""
        while size := int(self.rfile.readline(), 16):
            body += self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()
        return body

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the name that the class calls it by
        """Log nothing: pytest prints enough."""


class Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, who: str) -> None:
        super().__init__(("127.0.0.1", 0), _Says)
        self.who = who
        self.asked: list[str] = []
        self.requests: list[str | None] = []
        """Ids of the requests, as the ingress set them."""
        self._broken: dict[str, int] = {}
        self._lock = threading.Lock()

    def breaks(self, key: str, times: int) -> bool:
        """True for the first ``times`` requests with this key: the connection breaks."""
        with self._lock:
            self._broken[key] = self._broken.get(key, 0) + 1
            return self._broken[key] <= times


@dataclass
class Ingress:
    port: int
    replica: Server
    gateway: Server
    directory: Path
    config: Path
    process: subprocess.Popen[bytes]
    replaced: list[subprocess.Popen[bytes]] = field(default_factory=list)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def runtime_socket(self) -> Path:
        return self.directory / "node" / "a.sock"

    def reload(self) -> None:
        """Reload as Ray Serve does: a second process takes over the listeners and tells the first to finish."""
        self.replaced.append(self.process)
        self.process = _start(self.config, "-sf", str(self.process.pid), "-x", str(self.runtime_socket))
        _wait_until_answering(self.runtime_socket, self.process.pid)


@pytest.fixture(scope="module")
def ingress() -> Iterator[Ingress]:
    with running_ingress(Guard(frozenset(LOOPBACK_NAMES))) as running:
        yield running


@contextmanager
def running_ingress(guard: Guard, *, pem: str | None = None, asks_for_keys: bool = False, **rules: Any) -> Iterator[Ingress]:
    """Run HAProxy with our rules, and with TLS where there is a certificate.

    With ``asks_for_keys``, MLflow and Ray are the server of the gateway.
    """
    servers = Server("replica"), Server("gateway")
    for server in servers:
        threading.Thread(target=server.serve_forever, daemon=True).start()
    with tempfile.TemporaryDirectory(prefix="rl-", dir="/tmp") as name:
        directory = Path(name)
        keys = KeyMaps(directory) if asks_for_keys else None
        running = _ingress(directory, *servers, guard, pem, {"keys": keys, **rules})
        try:
            yield running
        finally:
            for process in (running.process, *running.replaced):
                process.kill()
                process.wait()
            for server in servers:
                server.shutdown()
                server.server_close()


@pytest.fixture
def http(ingress: Ingress) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=ingress.url, timeout=90, trust_env=False) as client:
        yield client


def _ingress(
    directory: Path, replica: Server, gateway: Server, guard: Guard, pem: str | None, rules: dict[str, Any]
) -> Ingress:
    pages = ""
    if rules["keys"]:
        rules["keys"].put((), {}, datetime.now(UTC))
        pages = EnginePages(gateway.server_port, "the-credential", gateway.server_port, "the-token").backends()
    names, config = names_file(directory), directory / "c.cfg"
    (directory / "node").mkdir()
    IngressMap(directory).put(NAMES)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    config.write_text(
        _CONFIG.format(
            directory=directory,
            buffer=BUFFER_BYTES,
            defaults=defaults_rules(),
            sections=limit_tables() + pages,
            rules=frontend_rules(names, token=TOKEN, buffer_bytes=BUFFER_BYTES, guard=guard, **rules),
            listener=listener(write_pem(directory, pem)) if pem else "",
            port=port,
            route=ROUTE,
            replica=replica.server_port,
            gateway=gateway.server_port,
        )
    )
    process = _start(config)
    _wait_until_answering(directory / "node" / "a.sock", process.pid)
    return Ingress(port, replica, gateway, directory, config, process)


def _start(config: Path, *arguments: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen([haproxy_binary(), "-db", "-f", str(config), "-dR", *arguments], stderr=subprocess.DEVNULL)


def _wait_until_answering(path: Path, pid: int) -> None:
    end = time.monotonic() + 90
    while time.monotonic() < end:
        try:
            with socket.socket(socket.AF_UNIX) as client:
                client.connect(str(path))
                client.sendall(b"show info\n")
                if f"\nPid: {pid}\n".encode() in _all(client):
                    return
        except (FileNotFoundError, ConnectionRefusedError):
            time.sleep(0.02)  # Not there yet.
            continue
        time.sleep(0.02)
    raise AssertionError("HAProxy does not answer")


def _all(client: socket.socket) -> bytes:
    return b"".join(iter(lambda: client.recv(65536), b""))
