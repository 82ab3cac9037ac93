"""HAProxy's maps, such as that of names: a file that it reads at its start, and its runtime socket for later changes."""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from raylift.domain.errors import EngineUnavailable
from raylift.ingress.runtime_socket import ask, runtime_sockets

log = logging.getLogger(__name__)

_FILE: Final = "names.map"
_FOUND: Final = "found=yes"
"""Part of HAProxy's answer to ``get map``."""
_AT_ONCE: Final = 32
"""Entries per command, which has to fit into HAProxy's buffer."""


def names_file(directory: Path) -> Path:
    """Return the map's file. It must exist before HAProxy starts."""
    return directory / _FILE


class IngressMap:
    """A map of the HAProxy on this machine: that of names, unless another file is named."""

    def __init__(self, directory: Path, name: str = _FILE) -> None:
        self._directory = directory
        self._file = directory / name

    def put(self, routes: Mapping[str, str]) -> None:
        """Replace the map (such as model → path) in the file and in the running HAProxy. Cheap if nothing has changed.

        The file is written first. An HAProxy that starts meanwhile reads it, or is corrected by the next call.

        Raises:
            EngineUnavailable: a running HAProxy did not accept the map.
        """
        self._write("".join(f"{name} {route}\n" for name, route in routes.items()))
        for path in runtime_sockets(self._directory):
            self._push(path, routes)

    def has(self, key: str) -> bool:
        """Return whether the running HAProxy has an entry for ``key``; True where none runs: it will read the file.

        Raises:
            EngineUnavailable: HAProxy does not answer.
        """
        return all(self._asked(path, key) for path in runtime_sockets(self._directory))

    def _asked(self, path: Path, key: str) -> bool:
        try:
            return _FOUND in ask(path, f"get map {self._file} {key}")
        except ConnectionRefusedError:
            return True  # The socket of a former HAProxy.
        except OSError as error:
            raise EngineUnavailable(f"HAProxy does not answer: {error}") from error

    def _write(self, content: str) -> None:
        if self._file.exists() and self._file.read_text(encoding="ascii") == content:
            return
        with tempfile.NamedTemporaryFile(
            "w", dir=self._directory, prefix=self._file.name, delete=False, encoding="ascii"
        ) as file:
            file.write(content)
        Path(file.name).replace(self._file)

    def _push(self, path: Path, routes: Mapping[str, str]) -> None:
        try:
            if _entries(ask(path, f"show map {self._file}")) == routes:
                return
            # As a new version of the map, so that the change is atomic.
            version = _version(ask(path, f"prepare map {self._file}"))
            entries = [f"{name} {route}\n" for name, route in routes.items()]
            for start in range(0, len(entries), _AT_ONCE):
                lines = "".join(entries[start : start + _AT_ONCE])
                _expect_nothing(ask(path, f"add map @{version} {self._file} <<\n{lines}"))
            _expect_nothing(ask(path, f"commit map @{version} {self._file}"))
        except ConnectionRefusedError:
            # The socket of a former HAProxy. The next one reads the file.
            log.debug("no process listens at %s", path)
        except (OSError, ValueError) as error:
            raise EngineUnavailable(f"HAProxy did not take the map of {self._file.stem}: {error}") from error


def _entries(shown: str) -> dict[str, str]:
    """Parse lines of address, key and value."""
    lines = (line.split(" ", 2) for line in shown.splitlines())
    return {parts[1]: parts[2] for parts in lines if len(parts) == 3}


def _version(answer: str) -> int:
    word, _, number = answer.rpartition(":")
    if word != "New version created":
        raise ValueError(answer)
    return int(number)


def _expect_nothing(answer: str) -> None:
    if answer:
        raise ValueError(answer)
