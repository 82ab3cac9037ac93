"""A fake of PyTorch's package index: a proxy on loopback that answers for its host."""

from __future__ import annotations

import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path, PurePosixPath
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

HOST = "download.pytorch.org"


class PytorchIndex(ThreadingHTTPServer):
    """``wheels`` by the name of a build, such as cpu. ``asked`` has the paths of all requests."""

    def __init__(self, certificate: Path) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.wheels: dict[str, list[Path]] = {}
        self.asked: list[str] = []
        self.tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.tls.load_cert_chain(certificate)

    @property
    def proxy(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Ignore clients that hang up."""


@contextmanager
def pytorch_index(folder: Path) -> Iterator[PytorchIndex]:
    with PytorchIndex(_certificate(folder)) as index:
        thread = threading.Thread(target=index.serve_forever, args=(0.05,))
        thread.start()
        try:
            yield index
        finally:
            index.shutdown()
            thread.join()


def _certificate(folder: Path) -> Path:
    key, now = ec.generate_private_key(ec.SECP256R1()), datetime.now(UTC)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, HOST)])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(HOST)]), critical=False)
        .sign(key, hashes.SHA256())
    )
    file = folder / "pytorch.pem"
    encoding, plain = serialization.Encoding.PEM, serialization.NoEncryption()
    private = key.private_bytes(encoding, serialization.PrivateFormat.PKCS8, plain)
    file.write_bytes(private + certificate.public_bytes(encoding))
    return file


class _Handler(BaseHTTPRequestHandler):
    server: PytorchIndex  # pyright: ignore[reportIncompatibleVariableOverride]
    protocol_version = "HTTP/1.1"

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base's name
        """Log nothing."""

    def do_CONNECT(self) -> None:
        if self.path != f"{HOST}:443":
            self.send_error(502)
            return
        self.send_response(200)
        self.end_headers()
        # From here on, the client believes that it speaks to the index.
        with self.server.tls.wrap_socket(self.connection, server_side=True) as self.connection:
            self.rfile, self.wfile = self.connection.makefile("rb"), self.connection.makefile("wb", 0)
            with self.rfile, self.wfile:
                self.close_connection = False
                while not self.close_connection:
                    self.handle_one_request()

    def finish(self) -> None:
        """Ignore sockets that are already closed."""
        if not self.wfile.closed:
            super().finish()

    def do_HEAD(self) -> None:
        self._answer(body=False)

    def do_GET(self) -> None:
        self._answer(body=True)

    def _answer(self, *, body: bool) -> None:
        self.server.asked.append(self.path)
        path = PurePosixPath(self.path.replace("%2B", "+"))
        # /whl/cpu/torch/ is a page, /whl/cpu/torch-….whl is a file.
        build = path.parent.name
        wheels = self.server.wheels.get(build, [])
        content = next((wheel.read_bytes() for wheel in wheels if wheel.name == path.name), None)
        if content is None:
            names = [wheel.name for wheel in wheels if wheel.name.startswith(f"{path.name}-")]
            links = "".join(f'<a href="/whl/{build}/{name.replace("+", "%2B")}">{name}</a>' for name in names)
            content = links.encode() or None
        self.send_response(404 if content is None else 200)
        self.send_header("Content-Length", str(len(content or b"")))
        self.send_header("Content-Type", "application/zip" if path.suffix == ".whl" else "text/html")
        self.end_headers()
        if body and content:
            self.wfile.write(content)
