"""The door to HAProxy's map of names: a file that it reads when it starts, and its runtime socket for changes after that."""

from __future__ import annotations

import logging
import socket
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final

from raylift.domain.errors import EngineUnavailable

log = logging.getLogger(__name__)

_FILE: Final = "names.map"
_SOCKETS: Final = "*/a.sock"
"""Ray Serve puts a socket's directory, named after the node, between."""
_AT_ONCE: Final = 32
"""Entries in one command, which must fit into HAProxy's buffer."""
_TIMEOUT_SECONDS: Final = 5.0


def names_file(directory: Path) -> Path:
    """The map's file in HAProxy's directory. It must exist before HAProxy starts."""
    return directory / _FILE


class IngressMap:
    """The map of names of the HAProxy on this machine."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._file = names_file(directory)

    def put(self, routes: Mapping[str, str]) -> None:
        """Have exactly ``routes`` in the file and in the running HAProxy: model → path. Cheap when they are there already.

        The file comes first: an HAProxy that starts meanwhile reads it, or is corrected by the next call.

        Raises:
            EngineUnavailable: HAProxy runs and did not take them.
        """
        self._write("".join(f"{name} {route}\n" for name, route in routes.items()))
        for path in self._directory.glob(_SOCKETS):
            self._push(path, routes)

    def _write(self, content: str) -> None:
        if self._file.exists() and self._file.read_text(encoding="ascii") == content:
            return
        with tempfile.NamedTemporaryFile("w", dir=self._directory, prefix=_FILE, delete=False, encoding="ascii") as file:
            file.write(content)
        Path(file.name).replace(self._file)

    def _push(self, path: Path, routes: Mapping[str, str]) -> None:
        try:
            if _entries(_ask(path, f"show map {self._file}")) == routes:
                return
            # All of it at once, as a new version of the map: nobody sees half a change.
            version = _version(_ask(path, f"prepare map {self._file}"))
            for some in _batches(list(routes.items())):
                lines = "".join(f"{name} {route}\n" for name, route in some)
                _expect_nothing(_ask(path, f"add map @{version} {self._file} <<\n{lines}"))
            _expect_nothing(_ask(path, f"commit map @{version} {self._file}"))
        except ConnectionRefusedError:
            # Left by an HAProxy that is gone: the next one reads the file.
            log.debug("nobody listens at %s", path)
        except (OSError, ValueError) as error:
            raise EngineUnavailable(f"HAProxy did not take the map of names: {error}") from error


def _ask(path: Path, command: str) -> str:
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(_TIMEOUT_SECONDS)
        client.connect(str(path))
        client.sendall(f"{command}\n".encode("ascii"))
        return b"".join(iter(lambda: client.recv(65536), b"")).decode("ascii", "replace").strip()


def _entries(shown: str) -> dict[str, str]:
    """Each line is an address, a key and a value."""
    lines = (line.split(" ", 2) for line in shown.splitlines())
    return {parts[1]: parts[2] for parts in lines if len(parts) == 3}


def _batches(entries: Sequence[tuple[str, str]]) -> Iterator[Sequence[tuple[str, str]]]:
    for start in range(0, len(entries), _AT_ONCE):
        yield entries[start : start + _AT_ONCE]


def _version(answer: str) -> int:
    word, _, number = answer.rpartition(":")
    if word != "New version created":
        raise ValueError(answer)
    return int(number)


def _expect_nothing(answer: str) -> None:
    if answer:
        raise ValueError(answer)
