"""Foreign hosts, forged headers of proxies, slow clients and too many connections, at the real HAProxy."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator

import httpx
import pytest

from raylift.ingress.allowed_hosts import LOOPBACK_NAMES
from raylift.ingress.guard import Guard
from tests.integration.ingress.conftest import INFERENCE, ROUTE, TOKEN, Ingress, running_ingress
from tests.integration.ingress.raw_http import Raw, post

HEAD_SECONDS, SILENCE_SECONDS, CONNECTIONS = 1, 2, 3
PROXY, CLIENT = "127.0.0.7", "127.0.0.8"
PATHS = ["/mlops/training/upload", f"{ROUTE}/predict", "/-/healthz", "/nothing"]
FORWARDED = ("X-Forwarded-Host: a.example", "X-Forwarded-For: 10.0.0.1", "Forwarded: host=a.example")


@pytest.fixture(scope="module")
def strict() -> Iterator[Ingress]:
    guard = Guard(
        frozenset({*LOOPBACK_NAMES, "a.example"}),
        (PROXY,),
        head_seconds=HEAD_SECONDS,
        silence_seconds=SILENCE_SECONDS,
        connections=CONNECTIONS,
        unlimited=("127.0.0.1",),
    )
    with running_ingress(guard) as running:
        yield running


@pytest.fixture
def client(strict: Ingress) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=strict.url, timeout=90, trust_env=False) as connected:
        yield connected


def connected(strict: Ingress, source: str = "127.0.0.1") -> socket.socket:
    return socket.create_connection(("127.0.0.1", strict.port), timeout=30, source_address=(source, 0))


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1.evil.example:80", "", "localhost."])
def test_request_to_a_foreign_host_is_refused(client: httpx.Client, path: str, host: str) -> None:
    answer = client.post(path, content=b"{}", headers={"Host": host})
    assert (answer.status_code, answer.headers["content-type"]) == (403, "application/problem+json")
    told = answer.json()
    assert told["code"] == "host_refused"
    assert "gateway.allowed_hosts" in told["detail"] and "--allowed-host" in told["detail"]


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "localhost:1", "LOCALHOST", "[::1]", "[::1]:8000", "a.example", "A.Example:8000"]
)
def test_request_to_an_allowed_host_is_answered(client: httpx.Client, host: str) -> None:
    for path, who in ((f"{ROUTE}/predict", "replica"), (INFERENCE, "gateway")):
        assert client.post(path, content=b"{}", headers={"Host": host}).json()["who"] == who


@pytest.mark.parametrize(
    "lines",
    [
        (),
        ("Host: localhost", "Host: evil.example"),
        ("Host: evil.example", "Host: localhost"),
        ("Host: evil.example,localhost",),
        ("Host: localhost,evil.example",),
        ("Host: evil.example, localhost",),
    ],
)
def test_request_without_exactly_one_host_is_refused(strict: Ingress, lines: tuple[str, ...]) -> None:
    with connected(strict) as sock:
        sock.sendall("\r\n".join(["GET /mlops HTTP/1.1", *lines, "Connection: close", "", ""]).encode())
        assert sock.recv(100).split()[1] in {b"400", b"403"}


def test_authority_in_the_request_line_counts(strict: Ingress) -> None:
    with connected(strict) as sock:
        sock.sendall(b"GET http://evil.example/mlops HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        assert sock.recv(100).split()[1] in {b"400", b"403"}


@pytest.mark.parametrize(
    ("source", "headers", "kept"),
    [(CLIENT, (), False), (PROXY, (), True), (CLIENT, (f"X-Raylift-Ingress: {TOKEN}",), True)],
)
@pytest.mark.parametrize("path", [INFERENCE, f"{ROUTE}/predict"])
def test_headers_of_proxies_are_kept_from_trusted_ones_only(
    strict: Ingress, source: str, headers: tuple[str, ...], kept: bool, path: str
) -> None:
    raw = Raw(strict.port, source)
    raw.send(post(path, b"{}", *FORWARDED, *headers))
    _, told = raw.answer()
    raw.close()
    names = {"x-forwarded-host", "x-forwarded-for", "forwarded"}
    assert names & told["headers"].keys() == (names if kept else set())


@pytest.mark.parametrize(("source", "address"), [("127.0.0.10", "127.0.0.10"), (PROXY, "10.0.0.1")])
def test_address_for_the_audit_is_the_clients(strict: Ingress, source: str, address: str) -> None:
    raw = Raw(strict.port, source)
    raw.send(post("/mlops/training/upload", b"{}", "X-Forwarded-For: 1.2.3.4, 10.0.0.1", "X-Raylift-Address: 6.6.6.6"))
    assert raw.answer()[1]["headers"]["x-raylift-address"] == address
    raw.close()


def test_connection_that_sends_its_head_slowly_is_closed(strict: Ingress) -> None:
    with connected(strict) as sock:
        sock.sendall(b"POST /mlops HTTP/1.1\r\nHost: localhost\r\n")
        assert closed_while_sending(sock, b"X-A: b\r\n")


def test_silent_connection_is_closed(strict: Ingress) -> None:
    with connected(strict) as sock:
        assert sock.recv(1000) == b""


def test_upload_that_stops_is_closed(strict: Ingress) -> None:
    with connected(strict) as sock:
        sock.sendall(b"POST /mlops HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000000\r\n\r\nabc")
        while sock.recv(1000):
            pass


def test_slow_but_steady_upload_arrives(strict: Ingress) -> None:
    """The whole takes longer than every limit; no pause does."""
    pieces = [bytes([number]) * 100 for number in range(12)]
    raw = Raw(strict.port)
    raw.send(post("/mlops/slow", b"".join(pieces))[: -sum(map(len, pieces))])
    for piece in pieces:
        time.sleep(SILENCE_SECONDS / 4)
        raw.send(piece)
    status, told = raw.answer()
    raw.close()
    assert (status, told["body"].encode("latin-1")) == (200, b"".join(pieces))


def test_long_prediction_is_waited_for(client: httpx.Client) -> None:
    seconds = SILENCE_SECONDS + HEAD_SECONDS + 1
    assert client.post(f"{ROUTE}/predict?sleeps={seconds}", content=b"{}").json()["who"] == "replica"


def test_silent_stream_stays_open(client: httpx.Client) -> None:
    with client.stream("GET", f"/mlops/log?streams={SILENCE_SECONDS + 1}") as answer:
        assert b"".join(answer.iter_raw()) == b"first\nsecond\n"


def test_silent_websocket_stays_open(strict: Ingress) -> None:
    with connected(strict) as sock:
        sock.sendall(
            f"GET /mlops/log?tunnels={SILENCE_SECONDS + 1} HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\n"
            "Connection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n".encode()
        )
        received = b""
        while b"second\n" not in received:
            received += (piece := sock.recv(1000))
            assert piece, received
    assert received.startswith(b"HTTP/1.1 101 ")


def test_connections_of_one_address_are_limited(strict: Ingress) -> None:
    allowed = [connected(strict, CLIENT) for _ in range(CONNECTIONS)]
    try:
        for sock in allowed:
            sock.sendall(b"GET /mlops HTTP/1.1\r\nHost: localhost\r\n\r\n")
            assert b" 200 " in sock.recv(1000)
        assert is_refused(strict)
        with connected(strict, "127.0.0.9") as other, connected(strict, PROXY) as proxy, connected(strict) as local:
            for sock in (other, proxy, local):
                sock.sendall(b"GET /mlops HTTP/1.1\r\nHost: localhost\r\n\r\n")
                assert b" 200 " in sock.recv(1000)
    finally:
        for sock in allowed:
            sock.close()


def closed_while_sending(sock: socket.socket, piece: bytes) -> bool:
    """Return True when the connection ends while ``piece`` is sent again and again; False if it does not in 30 s."""
    sock.settimeout(HEAD_SECONDS / 5)
    for _ in range(150):
        try:
            sock.sendall(piece)
            if not sock.recv(1000):
                return True
        except TimeoutError:
            continue
        except OSError:
            return True
    return False


def is_refused(strict: Ingress) -> bool:
    try:
        with connected(strict, CLIENT) as sock:
            return was_reset(sock)
    except ConnectionResetError:
        return True  # Before the call returned.


def was_reset(sock: socket.socket) -> bool:
    try:
        return not sock.recv(1000)
    except ConnectionResetError:
        return True
