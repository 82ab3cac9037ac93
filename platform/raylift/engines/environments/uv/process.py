"""A process of uv with a timeout, cancellation, and progress read from its progress bars."""

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
from pathlib import Path
from typing import Final

from raylift.engines.environments.errors import BuildCancelled
from raylift.engines.environments.uv.confined import clean_environment, confined

Cancelled = Callable[[], bool]
"""Returns True after the result is no longer needed."""

_LOOK_SECONDS: Final = 0.1
_END_SECONDS: Final = 5.0
_MAX_OUTPUT: Final = 256 * 1024
_ERASE: Final = "\x1b[2K"
"""Terminal sequence before each line that uv redraws."""
_ESCAPES: Final = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")
_BAR: Final = re.compile(r"(\S+) +-+ +([\d.]+) ([KMGT]i)?B/([\d.]+) ([KMGT]i)?B")
_UNITS: Final = {"": 1, "Ki": 2**10, "Mi": 2**20, "Gi": 2**30, "Ti": 2**40}
_TERM, _ROWS, _COLUMNS = "xterm", 500, 200
"""Without TERM, as in Ray's processes, uv draws no bars."""


@dataclass(frozen=True, slots=True)
class Downloads:
    """Bytes fetched and to be fetched by the downloads that have begun. Cached files are not counted."""

    done: int
    size: int


Report = Callable[[Downloads], None]


class Bars:
    """Parser of uv's progress bars from its terminal output."""

    def __init__(self) -> None:
        self._frame = ""
        self._of_package: dict[str, tuple[int, int]] = {}

    def read(self, text: str) -> Downloads | None:
        """Parse more output. Returns None before the first bar."""
        self._frame = (self._frame + text)[-_MAX_OUTPUT:]
        for name, done, done_unit, size, size_unit in _BAR.findall(_ESCAPES.sub("", self._frame)):
            self._of_package[name] = (_bytes(done, done_unit), _bytes(size, size_unit))
        # The last frame may be incomplete.
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
    writes: Sequence[Path] | None = None,
    reads: Sequence[Path] = (),
) -> tuple[int | None, str]:
    """Run uv to its end. Returns its exit code, or None after a timeout, and the end of its output.

    Args:
        command: uv and its arguments.
        stdin: text for its standard input.
        environment: its variables.
        timeout: seconds after which it and its children are killed.
        cancelled: polled while it runs; True kills it.
        report: receives the progress of downloads. uv shows it only on a terminal, so it gets one.
        writes: folders to which uv is confined. None: it is not confined.
        reads: further paths that it may read then.

    Raises:
        BuildCancelled: ``cancelled`` returned True.
    """
    # The working directory is empty, so that no project's uv settings apply. A session of its own allows killing uv
    # together with the builds that it runs.
    with (
        tempfile.TemporaryDirectory(prefix="raylift-uv-") as empty,
        tempfile.TemporaryFile("w+") as stdin_file,
        _output(terminal=report is not None) as (ours, theirs),
    ):
        stdin_file.write(stdin)
        stdin_file.seek(0)
        own = Path(empty).resolve()
        if writes is not None:
            command = confined(command, environment, writes=[*writes, own], reads=reads)
            environment = {**clean_environment(environment), "TMPDIR": empty}
        process = subprocess.Popen(
            command,
            stdin=stdin_file,
            stdout=theirs,
            stderr=theirs,
            cwd=empty,
            env={**environment, "TERM": _TERM},
            start_new_session=True,
        )
        os.close(theirs)
        try:
            text = _follow(process, ours, time.monotonic() + timeout, cancelled, report)
        finally:
            if process.returncode is None:
                _end(process, gently=writes is not None)
    return (None, "") if text is None else (process.returncode, _after_bars(text))


def _end(process: subprocess.Popen[bytes], *, gently: bool) -> None:
    """Kill uv and its children. The process that confines uv also finds builds that left its session."""
    if gently:
        process.terminate()
        with suppress(subprocess.TimeoutExpired):
            process.wait(_END_SECONDS)
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def _follow(
    process: subprocess.Popen[bytes], output: int, deadline: float, cancelled: Cancelled, report: Report | None
) -> str | None:
    """Return the output of the process up to its end; None after the deadline."""
    said, bars, before = "", Bars(), None
    while True:
        # The end of the process counts, because a daemon left by a package's build may keep its output open.
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
    """Open a pipe or a terminal: (our end, uv's end, which the caller closes)."""
    ours, theirs = pty.openpty() if terminal else os.pipe()
    if terminal:
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", _ROWS, _COLUMNS, 0, 0))
    try:
        yield ours, theirs
    finally:
        os.close(ours)


def _read(output: int, seconds: float) -> str | None:
    """Return output that comes within ``seconds``; None at its end."""
    if not select.select([output], [], [], seconds)[0]:
        return ""
    try:
        return os.read(output, 65536).decode("utf-8", "replace") or None
    except OSError:
        return None  # A terminal whose other end is closed.


def _wait_for_the_end(process: subprocess.Popen[bytes]) -> None:
    with suppress(subprocess.TimeoutExpired):
        process.wait(_LOOK_SECONDS)


def _after_bars(text: str) -> str:
    """Return the text after the last bar, which is uv's report of a failure."""
    return _ESCAPES.sub("", text.rpartition(_ERASE)[2]).replace("\r", "")


def _bytes(number: str, unit: str) -> int:
    return round(float(number) * _UNITS[unit])
