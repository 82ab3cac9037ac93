"""Commands to the running HAProxy."""

from __future__ import annotations

import socket
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Final

_SOCKETS: Final = "*/a.sock"
"""Ray Serve puts each socket into a folder named after the node."""
_TIMEOUT_SECONDS: Final = 5.0


def runtime_sockets(directory: Path) -> Iterable[Path]:
    """Return the sockets of this machine's HAProxy. One may be left from a former process."""
    return directory.glob(_SOCKETS)


def is_running(directory: Path) -> bool:
    """Return True while an HAProxy answers on this machine."""
    for path in runtime_sockets(directory):
        with suppress(OSError):  # The socket of a former process.
            ask(path, "show version")
            return True
    return False


def ask(path: Path, command: str) -> str:
    """Return HAProxy's answer. Raises OSError; ConnectionRefusedError where no process listens."""
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(_TIMEOUT_SECONDS)
        client.connect(str(path))
        client.sendall(f"{command}\n".encode("ascii"))
        return b"".join(iter(lambda: client.recv(65536), b"")).decode("ascii", "replace").strip()
