"""Raw HTTP on a connection whose bytes the test writes and reads itself."""

from __future__ import annotations

import json
import socket
from typing import Any


def post(path: str, body: bytes, *headers: str, version: str = "1.1") -> bytes:
    length = () if any("Transfer-Encoding" in header for header in headers) else (f"Content-Length: {len(body)}",)
    return "\r\n".join([f"POST {path} HTTP/{version}", "Host: 127.0.0.1", *length, *headers, "", ""]).encode() + body


class Raw:
    """A connection whose bytes the test writes and reads."""

    def __init__(self, port: int, source: str = "127.0.0.1") -> None:
        self._socket = socket.create_connection(("127.0.0.1", port), timeout=30, source_address=(source, 0))
        self._file = self._socket.makefile("rb")

    def send(self, data: bytes) -> None:
        self._socket.sendall(data)

    def answer(self) -> tuple[int, dict[str, Any]]:
        status = int(self._file.readline().split()[1])
        headers = dict(line.decode().strip().lower().split(": ", 1) for line in iter(self._file.readline, b"\r\n"))
        body = self._file.read(int(headers.get("content-length", 0)))
        return status, json.loads(body) if body else {}

    def rest(self) -> bytes:
        return self._file.read()

    def close(self) -> None:
        self._file.close()
        self._socket.close()
