"""One process of uv: ended when it takes too long or is no longer wanted; its progress bars are read as bytes."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import select
import signal
import struct
import subprocess
import tempfile
import termios
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Final

from raylift.engines.environments.errors import BuildCancelled

Cancelled = Callable[[], bool]
"""Tells whether nobody wants the result any more."""

_LOOK_SECONDS: Final = 0.1
_MAX_OUTPUT: Final = 256 * 1024
_ERASE: Final = "\x1b[2K"
"""The terminal sequence before each line that uv draws anew."""
_ESCAPES: Final = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")
_BAR: Final = re.compile(r"(\S+) +-+ +([\d.]+) ([KMGT]i)?B/([\d.]+) ([KMGT]i)?B")
_UNITS: Final = {"": 1, "Ki": 2**10, "Mi": 2**20, "Gi": 2**30, "Ti": 2**40}
_TERM, _ROWS, _COLUMNS = "xterm", 500, 200
"""Without a kind of terminal, as in Ray's processes, uv draws nothing."""


@dataclass(frozen=True, slots=True)
class Downloads:
    """Bytes that uv has fetched, and of how many: those whose download has begun. Its cache's own count in neither."""

    done: int
    size: int


Report = Callable[[Downloads], None]


class Bars:
    """The progress bars of uv, as they come over its terminal."""

    def __init__(self) -> None:
        self._frame = ""
        self._of_package: dict[str, tuple[int, int]] = {}

    def read(self, text: str) -> Downloads | None:
        """Take what uv has written; None while it has drawn no bar."""
        self._frame = (self._frame + text)[-_MAX_OUTPUT:]
        for name, done, done_unit, size, size_unit in _BAR.findall(_ESCAPES.sub("", self._frame)):
            self._of_package[name] = (_bytes(done, done_unit), _bytes(size, size_unit))
        # The last frame may have come in half.
        self._frame = self._frame.rpartition(_ERASE)[2]
        if not self._of_package:
            return None
        done, size = (sum(figures) for figures in zip(*self._of_package.values(), strict=True))
        return Downloads(done, size)


def run(
    command: Sequence[str],
    stdin: str,
    environment: Mapping[str, str],
    *,
    timeout: float,
    cancelled: Cancelled,
    report: Report | None,
) -> tuple[int | None, str]:
    """Run uv to its end. Returns its exit code, None after a time-out, and the last of what it said.

    Args:
        command: uv and its arguments.
        stdin: What it reads.
        environment: Its variables.
        timeout: Seconds after which it and what it started are killed.
        cancelled: Asked while it runs; once true, it is killed too.
        report: Told of its downloads. uv shows them to terminals alone, so it is given one.

    Raises:
        BuildCancelled: ``cancelled`` said so.
    """
    # An empty working directory, so that no project's uv settings apply by accident; an own session, so that a
    # package's build can be killed together with the uv that runs it.
    with (
        tempfile.TemporaryDirectory(prefix="raylift-uv-") as nowhere,
        tempfile.TemporaryFile("w+") as words,
        _output(terminal=report is not None) as (ours, theirs),
    ):
        words.write(stdin)
        words.seek(0)
        process = subprocess.Popen(
            command,
            stdin=words,
            stdout=theirs,
            stderr=theirs,
            cwd=nowhere,
            env={**environment, "TERM": _TERM},
            start_new_session=True,
        )
        os.close(theirs)
        try:
            said = _follow(process, ours, time.monotonic() + timeout, cancelled, report)
        finally:
            if process.returncode is None:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
    return (None, "") if said is None else (process.returncode, _last_words(said))


def _follow(
    process: subprocess.Popen[bytes], output: int, deadline: float, cancelled: Cancelled, report: Report | None
) -> str | None:
    """Return the output of the process up to its end; None where the deadline comes first."""
    said, bars, before = "", Bars(), None
    while True:
        # Its own end, not that of its output: a daemon that a package's build left behind may hold that.
        ended = process.poll() is not None
        text = _read(output, 0.0 if ended else _LOOK_SECONDS)
        if text is None:
            _wait_for_the_end(process)
        elif text:
            said = (said + text)[-_MAX_OUTPUT:]
            if report is not None and (downloads := bars.read(text)) is not None and downloads != before:
                report(downloads)
                before = downloads
        if ended and not text:
            return said
        if cancelled():
            raise BuildCancelled
        if time.monotonic() > deadline:
            return None


@contextmanager
def _output(*, terminal: bool) -> Iterator[tuple[int, int]]:
    """A pipe or a terminal: (our end, the end of uv, which the caller closes)."""
    ours, theirs = pty.openpty() if terminal else os.pipe()
    if terminal:
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", _ROWS, _COLUMNS, 0, 0))
    try:
        yield ours, theirs
    finally:
        os.close(ours)


def _read(output: int, seconds: float) -> str | None:
    """Return the output that comes within ``seconds``; None when there will be none any more."""
    if not select.select([output], [], [], seconds)[0]:
        return ""
    try:
        return os.read(output, 65536).decode("utf-8", "replace") or None
    except OSError:
        return None  # A terminal whose other end is closed.


def _wait_for_the_end(process: subprocess.Popen[bytes]) -> None:
    with suppress(subprocess.TimeoutExpired):
        process.wait(_LOOK_SECONDS)


def _last_words(said: str) -> str:
    """The text behind the last bar, which is uv's report where it failed."""
    return _ESCAPES.sub("", said.rpartition(_ERASE)[2]).replace("\r", "")


def _bytes(number: str, unit: str) -> int:
    return round(float(number) * _UNITS[unit])
