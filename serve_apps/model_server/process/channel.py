"""Messages between a replica and the process of its model: JSON objects in packets, some with descriptors.

The replica asks ``{"id": 1, "do": "load", …}``; the process answers ``{"id": 1, "result": …}`` or ``{"id": 1, "error": text}``.
The process sends its log lines (``{"line": …}``), and asks for Serve's own pages: ``{"page": 1, "path": "/-/healthz"}``.
"""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Sequence
from typing import Any, Final, cast

_LARGEST: Final = 128 * 1024
"""Bytes; less than what a socket takes at once."""
_MOST_DESCRIPTORS: Final = 4


class Channel:
    """One end of a pair of sockets. Its packets are sent and received whole, by any thread."""

    def __init__(self, descriptor: int) -> None:
        self._socket = socket.socket(fileno=descriptor)

    def fileno(self) -> int:
        return self._socket.fileno()

    def send(self, message: dict[str, Any], descriptors: Sequence[int] = (), *, wait: bool = True) -> None:
        """Send a message, with copies of descriptors.

        Raises:
            OSError: The other end is gone, or, without ``wait``, does not read.
        """
        packet = json.dumps(message).encode()
        if len(packet) > _LARGEST:
            raise ValueError(f"a message of {len(packet)} bytes is too large")
        socket.send_fds(self._socket, [packet], descriptors, 0 if wait else socket.MSG_DONTWAIT)

    def receive(self, *, wait: bool = True) -> tuple[dict[str, Any], list[int]] | None:
        """Receive a message with its descriptors; None if the other end is gone.

        Raises:
            BlockingIOError: There is none, without ``wait``.
            ValueError: It is no JSON object.
        """
        flags = socket.MSG_CMSG_CLOEXEC | (0 if wait else socket.MSG_DONTWAIT)
        try:
            packet, descriptors, _, _ = socket.recv_fds(self._socket, _LARGEST, _MOST_DESCRIPTORS, flags)
        except ConnectionError:
            return None
        if not packet:
            return None
        try:
            message = _object(packet)
        except ValueError:
            for descriptor in descriptors:
                os.close(descriptor)
            raise
        return message, list(descriptors)

    def close(self) -> None:
        self._socket.close()


def _object(packet: bytes) -> dict[str, Any]:
    message: Any = json.loads(packet)
    if isinstance(message, dict):
        return cast("dict[str, Any]", message)
    raise ValueError("a message is a JSON object")


def memory_file(content: bytes) -> int:
    """Return the descriptor of a file in memory, for content of any size."""
    descriptor = os.memfd_create("message", os.MFD_CLOEXEC)
    with os.fdopen(os.dup(descriptor), "wb") as file:
        file.write(content)
    return descriptor


def read_memory_file(descriptor: int) -> bytes:
    """Read a file that ``memory_file`` wrote, and close it."""
    with os.fdopen(descriptor, "rb") as file:
        file.seek(0)
        return file.read()
