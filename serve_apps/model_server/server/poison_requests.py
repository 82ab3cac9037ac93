"""Ends what ends processes: a request that two processes died over is refused by the third.

A prediction whose process goes away is sent again by the ingress and by the gateway, since it changes nothing. If the request
itself is what kills processes, that must end, whichever way it takes: so each process notes, in a file that all processes
of the version on this machine share, which requests it works on. What is found there of a request that just comes in was left
by a process that died over it.
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
from urllib.parse import quote

from raylift.api.headers import MODEL_VERSION, PREDICTION_ID, raw
from raylift.ingress.access_token import App, Receive, Scope, Send
from serve_apps.model_server.codecs.base import Codec
from serve_apps.model_server.codecs.mlflow_scoring import ScoringCodec
from serve_apps.model_server.codecs.open_inference import OpenInferenceCodec
from serve_apps.model_server.codecs.raylift import RayliftCodec
from serve_apps.model_server.errors import ProcessesDied

MOST_DEATHS: Final = 2

_HEADER: Final = raw(PREDICTION_ID)
_ID_BYTES: Final = 16
_SLOTS: Final = 64
"""Requests that one process works on at a time; what is beyond is not noted."""
_PROCESSES: Final = 16
_REGION: Final = _SLOTS * _ID_BYTES
_NOTHING: Final = bytes(_ID_BYTES)
_CODECS: Final[dict[str, Codec]] = {"/predict": RayliftCodec(), "/invocations": ScoringCodec()}
_OTHERS: Final = OpenInferenceCodec()


class WorkedOn:
    """The requests that this machine's processes of one version work on, or died over.

    Each process has a region of the file, and the regions are taken in turns: what a dead process left stays until as many
    processes have started after it as there are regions.
    """

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        size = _ID_BYTES + _PROCESSES * _REGION
        os.ftruncate(self._file, size)
        self._page = mmap.mmap(self._file, size)
        self._free = self._claim()

    def deaths(self, request: bytes) -> int:
        """How many processes died over the request, if none works on it."""
        return self._page[:].count(request)

    @contextmanager
    def noted(self, request: bytes) -> Iterator[None]:
        """This process works on it."""
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
        """The places of a region that no living process has; none where there are that many processes."""
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


def refusing_deadly(app: App, model_name: str, version: str, directory: str | None) -> App:
    """``app``, but for requests that processes died over.

    One that one process died over is asked when no other such request is: most of them were only there when it died, and are
    not to be there again. One that two died over is refused.

    Args:
        app: answers for the version.
        model_name: whose.
        version: which.
        directory: where this machine's processes note what they work on; None: ``app`` as it is.
    """
    if directory is None:
        return app
    worked_on = WorkedOn(Path(directory) / quote(f"{model_name}:{version}", safe=""))
    alone = asyncio.Lock()

    async def guarded(scope: Scope, receive: Receive, send: Send) -> None:
        request = _request(scope)
        if request is None:
            await app(scope, receive, send)
            return
        if not worked_on.deaths(request):
            with worked_on.noted(request):
                await app(scope, receive, send)
            return
        async with alone:
            if worked_on.deaths(request) >= MOST_DEATHS:
                await _refuse(scope, send, model_name, version)
                return
            with worked_on.noted(request):
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
        f"{MOST_DEATHS} processes of version {version} of {model_name!r} died while they worked on this request. "
        "It is not tried again.",
        model_name=model_name,
        model_version=version,
    )
    path: str = scope["path"]
    answer = _CODECS.get(f"/{path.rpartition('/')[2]}", _OTHERS).error(error, path)
    headers = [
        (b"content-type", answer.media_type.encode("latin-1")),
        (b"content-length", str(len(answer.body)).encode()),
        (raw(MODEL_VERSION), version.encode("latin-1")),
    ]
    await send({"type": "http.response.start", "status": answer.status, "headers": headers})
    await send({"type": "http.response.body", "body": answer.body})


def _lock(file: int, place: int, *, wait: bool = False) -> bool:
    """Whether the lock at ``place`` could be had. The kernel gives it back when the process ends, however it does."""
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
