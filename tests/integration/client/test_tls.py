"""The SDK and the command line with a certificate of an own authority."""

from __future__ import annotations

import json
import ssl
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from raylift import Client, ConnectionFailed
from raylift.cli.app import app
from tests.certificates import Authority


class _Empty(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        body = json.dumps({"secrets": []}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the name that the class calls it by
        """Log nothing: pytest prints enough."""


@pytest.fixture
def authority() -> Authority:
    return Authority.make()


@pytest.fixture
def url(authority: Authority, tmp_path: Path) -> Iterator[str]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*authority.issue(tmp_path))
    with ThreadingHTTPServer(("127.0.0.1", 0), _Empty) as server:
        server.socket = context.wrap_socket(server.socket, server_side=True)
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield f"https://127.0.0.1:{server.server_port}"
        server.shutdown()


def test_client_trusts_the_given_authority_only(url: str, authority: Authority, tmp_path: Path) -> None:
    ca = authority.write(tmp_path / "ca.pem")
    with Client(url, ca=ca) as client:
        assert client.secrets.list() == []
    other = Authority.make().write(tmp_path / "other.pem")
    with Client(url, ca=other) as client, pytest.raises(ConnectionFailed):
        client.secrets.list()
    with pytest.raises(ValueError, match="is no file of certificates"):
        Client(url, ca=tmp_path / "none.pem")


def test_command_line_trusts_the_given_authority(
    url: str, authority: Authority, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ca = authority.write(tmp_path / "ca.pem")
    assert CliRunner().invoke(app, ["secrets", "list", "--url", url, "--ca", str(ca)]).exit_code == 0
    assert CliRunner().invoke(app, ["--ca", str(ca), "secrets", "list", "--url", url]).exit_code == 0
    assert CliRunner().invoke(app, ["secrets", "list", "--url", url]).exit_code == 4
    monkeypatch.setenv("RAYLIFT_CA", str(ca))
    assert CliRunner().invoke(app, ["secrets", "list", "--url", url]).exit_code == 0
