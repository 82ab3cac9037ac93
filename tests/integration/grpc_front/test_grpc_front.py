"""The process of the gRPC front, between Triton's client and a fake server with chosen answers."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import grpc
import numpy as np
import pytest
from tritonclient.grpc import InferenceServerClient, InferInput, service_pb2
from tritonclient.grpc.service_pb2_grpc import GRPCInferenceServiceStub
from tritonclient.utils import InferenceServerException

messages: Any = service_pb2
ANSWER = {"model_name": "m", "model_version": "3", "outputs": []}


class Upstream(ThreadingHTTPServer):
    """Fake of the ingress."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.seen: list[tuple[str, str, dict[str, str], bytes]] = []
        self.answer: tuple[int, dict[str, str], bytes] = (200, {}, b"{}")
        self.hold = threading.Event()
        self.hold.set()
        self.gone = threading.Event()

    def forget(self) -> None:
        """Reset the fake."""
        self.seen.clear()
        self.hold.set()
        self.gone.clear()

    def infers(self, **headers: str) -> None:
        text = json.dumps(ANSWER).encode()
        self.answer = (200, {"Inference-Header-Content-Length": str(len(text)), **headers}, text)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        upstream: Any = self.server
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        upstream.seen.append((self.command, self.path, {k.lower(): v for k, v in self.headers.items()}, body))
        if not upstream.hold.is_set():
            # Readable without data: the connection was closed.
            self.connection.recv(1)
            upstream.gone.set()
            return
        status, headers, content = upstream.answer
        self.send_response(status)
        for name, value in {"Content-Length": str(len(content)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(content)

    do_POST = do_GET  # noqa: N815 - the name that http.server wants

    def log_message(self, *args: Any, **options: Any) -> None:
        """Log nothing."""


@pytest.fixture(scope="module")
def server() -> Iterator[Upstream]:
    with Upstream() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture(scope="module")
def front(server: Upstream) -> Iterator[str]:
    with front_of(server.server_address[1]) as address:
        yield address


@pytest.fixture
def upstream(server: Upstream) -> Upstream:
    server.forget()
    return server


@pytest.fixture
def client(front: str) -> Iterator[Any]:
    with InferenceServerClient(front) as client:
        yield client


@contextmanager
def front_of(port: int) -> Iterator[str]:
    """Start a front for a port of this machine. Yields its address."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        listen = f"127.0.0.1:{free.getsockname()[1]}"
    command = [sys.executable, "-m", "serve_apps.grpc_front", "--listen", listen, "--max-body-bytes", "1000000"]
    process = subprocess.Popen([*command, "--ingress", f"http://127.0.0.1:{port}"], env=_environment())
    try:
        with grpc.insecure_channel(listen) as channel:
            grpc.channel_ready_future(channel).result(timeout=60)
        yield listen
    finally:
        process.terminate()
        assert process.wait(timeout=30) == 0


def _environment() -> dict[str, str]:
    return {"PYTHONPATH": ":".join(sys.path)}


def tensor() -> InferInput:
    given = InferInput("x", [1, 1], "FP64")
    given.set_data_from_numpy(np.array([[0.5]]))
    return given


def test_call_is_one_request_with_its_metadata(client: Any, upstream: Upstream) -> None:
    upstream.infers(**{"X-Raylift-Model-Version": "3"})
    answer = client.infer("a model", [tensor()], headers={"x-user": "ann", "traceparent": "00-1"}, client_timeout=20)
    assert answer.get_response().model_version == "3"
    ((method, path, headers, body),) = upstream.seen
    assert (method, path) == ("POST", "/v2/models/a%20model/infer")
    assert (headers["x-user"], headers["traceparent"]) == ("ann", "00-1")
    assert headers["content-type"] == "application/octet-stream"
    assert 15 < float(headers["x-scale-up-timeout"]) <= 21  # gRPC rounds a deadline up on the wire
    assert body[int(headers["inference-header-content-length"]) :] == np.array([0.5]).tobytes()


def test_call_with_a_version_uses_its_route(client: Any, upstream: Upstream) -> None:
    upstream.infers()
    client.infer("m", [tensor()], model_version="3")
    upstream.answer = (200, {}, json.dumps({"name": "m", "versions": ["3"], "platform": "p", "inputs": [], "more": 1}).encode())
    assert client.get_model_metadata("m", "3").versions == ["3"]
    assert client.is_model_ready("m", "3")
    assert [path for _, path, _, _ in upstream.seen] == [
        "/v2/models/m/versions/3/infer",
        "/v2/models/m/versions/3",
        "/v2/models/m/versions/3/ready",
    ]


@pytest.mark.parametrize(
    ("status", "body", "code", "detail"),
    [
        (400, b'{"error": "4 features"}', "INVALID_ARGUMENT", "4 features"),
        (404, b'{"error": "no such model"}', "NOT_FOUND", "no such model"),
        (429, b'{"detail": "too many"}', "RESOURCE_EXHAUSTED", "too many"),
        (503, b"plain words", "UNAVAILABLE", "plain words"),
        (502, b"[]", "UNAVAILABLE", "[]"),
        (418, b"", "UNKNOWN", ""),
    ],
)
def test_http_errors_become_grpc_statuses(
    front: str, upstream: Upstream, status: int, body: bytes, code: str, detail: str
) -> None:
    upstream.answer = (status, {"Retry-After": "2"}, body)
    with grpc.insecure_channel(front) as channel, pytest.raises(grpc.RpcError) as refused:
        GRPCInferenceServiceStub(channel).ModelInfer(messages.ModelInferRequest(model_name="m"))
    error: Any = refused.value
    assert (error.code(), error.details()) == (grpc.StatusCode[code], detail)
    assert ("retry-after", "2") in [tuple(pair) for pair in error.trailing_metadata()]


def test_malformed_call_is_refused_without_a_request(client: Any, upstream: Upstream) -> None:
    wrong = tensor()
    wrong._get_tensor().datatype = "FP65"
    wrong._raw_content = None
    with pytest.raises(InferenceServerException, match="known are") as refused:
        client.infer("m", [wrong])
    assert refused.value.status() == "StatusCode.INVALID_ARGUMENT"
    assert upstream.seen == []


def test_not_ready_is_an_answer_and_no_error(client: Any, upstream: Upstream) -> None:
    upstream.answer = (503, {}, b"{}")
    assert not client.is_server_live()
    assert not client.is_server_ready()
    assert not client.is_model_ready("m")


def test_cancelled_call_ends_its_request(client: Any, upstream: Upstream) -> None:
    upstream.hold.clear()
    with pytest.raises(InferenceServerException) as late:
        client.infer("m", [tensor()], client_timeout=0.5)
    assert late.value.status() == "StatusCode.DEADLINE_EXCEEDED"
    assert upstream.gone.wait(30)


def test_unreachable_platform_is_unavailable() -> None:
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        with front_of(nobody.getsockname()[1]) as front, InferenceServerClient(front) as client:
            with pytest.raises(InferenceServerException, match="did not answer") as refused:
                client.is_server_live()
            assert refused.value.status() == "StatusCode.UNAVAILABLE"
