"""Refuses a request that has already crashed two processes.

The ingress and the gateway send a prediction again if its process dies, since it changes nothing. A request that crashes every
process must not go on for ever. All processes of a version on a machine share a file: each records there the requests that it
works on. A request that is recorded when it arrives was left by a process that crashed.
"""

from __future__ import annotations

import asyncio
import fcntl
import mmap
import os
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from raylift.api.headers import PREDICTION_ID, raw
from raylift.ingress.access_token import App, Receive, Scope, Send
from serve_apps.model_server.codecs.base import Codec
from serve_apps.model_server.codecs.mlflow_scoring import ScoringCodec
from serve_apps.model_server.codecs.open_inference.codec import OpenInferenceCodec
from serve_apps.model_server.codecs.raylift import RayliftCodec
from serve_apps.model_server.errors import ProcessesDied
from serve_apps.model_server.server.http import send_response, version_header

_MAX_CRASHES: Final = 2
_FILE: Final = "in-flight"

_HEADER: Final = raw(PREDICTION_ID)
_ID_BYTES: Final = 16
_SLOTS: Final = 64
"""Requests that one process records at a time; further ones are not recorded."""
_PROCESSES: Final = 16
_REGION: Final = _SLOTS * _ID_BYTES
_NOTHING: Final = bytes(_ID_BYTES)
_CODECS: Final[dict[str, Codec]] = {"/predict": RayliftCodec(), "/invocations": ScoringCodec()}
_OTHERS: Final = OpenInferenceCodec()


class InFlightRequests:
    """Requests that the processes of a version on this machine work on, or crashed on.

    Each process has a region of the file, and takes the regions in turns: the records of a dead process stay until as many
    processes have started as there are regions.
    """

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        size = _ID_BYTES + _PROCESSES * _REGION
        os.ftruncate(self._file, size)
        self._page = mmap.mmap(self._file, size)
        self._free = self._claim()

    def crashes(self, request: bytes) -> int:
        """Number of processes that crashed on a request, while no process works on it."""
        return self._page[:].count(request)

    @contextmanager
    def recorded(self, request: bytes) -> Iterator[None]:
        """Record a request while this process works on it."""
        if not self._free:
            yield
            return
        start = self._free.pop()
        self._page[start : start + _ID_BYTES] = request
        try:
            yield
        finally:
            self._page[start : start + _ID_BYTES] = _NOTHING
            self._free.append(start)

    def close(self) -> None:
        self._page.close()
        os.close(self._file)

    def _claim(self) -> list[int]:
        """Slots of a region that no living process has; none if all regions are taken."""
        _lock(self._file, _PROCESSES, wait=True)
        try:
            for offset in range(_PROCESSES):
                region = (self._page[0] + offset) % _PROCESSES
                if _lock(self._file, region):
                    self._page[0] = (region + 1) % _PROCESSES
                    start = _ID_BYTES + region * _REGION
                    self._page[start : start + _REGION] = bytes(_REGION)
                    return list(range(start, start + _REGION, _ID_BYTES))
            return []
        finally:
            _unlock(self._file, _PROCESSES)


def refuse_poison_requests(app: App, model_name: str, version: str, directory: str | None) -> App:
    """Wrap ``app`` so that it refuses a request that crashed two processes.

    A request that one process crashed on is answered while no other such request is: most of them only were in a process that
    another request crashed, and must not share one with it again.

    Args:
        app: Answers for the version.
        model_name: Name of the model.
        version: Version of the model.
        directory: Directory of the file that the version's processes on this machine share; None: return ``app`` unchanged.
    """
    if directory is None:
        return app
    in_flight = InFlightRequests(Path(directory) / _FILE)
    one_suspect = asyncio.Lock()

    async def guarded(scope: Scope, receive: Receive, send: Send) -> None:
        request = _request(scope)
        if request is None:
            await app(scope, receive, send)
            return
        if not in_flight.crashes(request):
            with in_flight.recorded(request):
                await app(scope, receive, send)
            return
        async with one_suspect:
            if in_flight.crashes(request) >= _MAX_CRASHES:
                await _refuse(scope, send, model_name, version)
                return
            with in_flight.recorded(request):
                await app(scope, receive, send)

    return guarded


def _request(scope: Scope) -> bytes | None:
    if scope["type"] != "http" or scope["method"] != "POST":
        return None
    for name, value in scope["headers"]:
        if name == _HEADER:
            return value[:_ID_BYTES] if len(value) >= _ID_BYTES else None
    return None


async def _refuse(scope: Scope, send: Send, model_name: str, version: str) -> None:
    error = ProcessesDied(
        f"{_MAX_CRASHES} processes of version {version} of {model_name!r} died while they worked on this request. "
        "It is not tried again.",
        model_name=model_name,
        model_version=version,
    )
    path: str = scope["path"]
    response = _CODECS.get(f"/{path.rpartition('/')[2]}", _OTHERS).error(error, path)
    await send_response(send, response, version_header(version))


def _lock(file: int, place: int, *, wait: bool = False) -> bool:
    """Lock a byte of the file; False if another process has it. The kernel unlocks it when the process ends in any way."""
    command = fcntl.F_OFD_SETLKW if wait else fcntl.F_OFD_SETLK
    try:
        fcntl.fcntl(file, command, _flock(fcntl.F_WRLCK, place))
    except BlockingIOError:
        return False
    return True


def _unlock(file: int, place: int) -> None:
    fcntl.fcntl(file, fcntl.F_OFD_SETLK, _flock(fcntl.F_UNLCK, place))


def _flock(kind: int, place: int) -> bytes:
    """C's ``struct flock`` for one byte."""
    return struct.pack("hhqqi4x", kind, os.SEEK_SET, place, 1, 0)
