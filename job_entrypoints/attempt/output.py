"""What the script prints: to output.log and to our own stdout (Ray's job log), byte for byte, within a cap.

Half of the cap is written as it comes. What goes beyond turns round in ``output.tail``, a file of the other half's size, and is
appended when the script has ended. So output.log only ever grows: who follows it by offset never reads a byte twice.
"""

# ruff: noqa: PTH108
# (importing pathlib would cost every job's start some milliseconds)
from __future__ import annotations

import os
import select
import stat

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

_PIPE_BUF = 4096
_PORTION = 1 << 20
_DRAIN_SECONDS = 5.0
_LINE_SEARCH = 8192
_LAST_BYTES = 4096


class Output:
    """Takes the script's bytes. Never raises: a full disk or a reader that left must not end the script."""

    def __init__(self, directory: str, cap: int, own_stdout: int = 1) -> None:
        self._log = _open(f"{directory}/output.log")
        self._tail_path = f"{directory}/output.tail"
        self._tail = -1
        self._head_left = cap - cap // 2
        self._tail_size = max(cap // 2, 1)
        self._beyond = 0
        """Bytes that came after the head was full."""
        self._ends_line = True
        self._last = b""
        self.relay = Relay(own_stdout)

    def write(self, data: bytes) -> None:
        self._last = (self._last + data)[-_LAST_BYTES:]
        head, rest = data[: self._head_left], data[self._head_left :]
        if head:
            self._head_left -= len(head)
            self._emit(head)
        if rest:
            if not self._beyond:
                self._say("the output is long: what follows is kept up to its last part, shown when the script has ended")
            self._keep(rest)

    def say(self, message: str) -> None:
        """One line of our own among the script's."""
        line = f"[raylift] {message}\n".encode()
        self.write(line if self._ends_line else b"\n" + line)

    def last_line(self) -> str | None:
        """The last line that is not empty: after a traceback, the error itself. Links that MLflow prints do not count."""
        lines = [line for line in self._last.decode(errors="replace").splitlines() if line.strip() and not _is_a_link(line)]
        return lines[-1].strip()[:500] if lines else None

    def finish(self) -> None:
        """Append the tail, if there is one, and wait a little for a slow reader of our stdout."""
        if self._beyond:
            kept = min(self._beyond, self._tail_size)
            start = self._beyond % self._tail_size if self._beyond > kept else 0
            if self._beyond > kept:
                # The tail begins with a whole line, if lines are not endless.
                skipped = os.pread(self._tail, _LINE_SEARCH, start).find(b"\n") + 1
                kept -= skipped
                start += skipped
            self._say(f"{self._beyond - kept} bytes of output are left out here")
            for portion in _portions(self._tail, start, kept, self._tail_size):
                self._emit(portion)
                self.relay.drain()
            _remove(self._tail_path)
        self.relay.drain()

    def _keep(self, data: bytes) -> None:
        if self._tail < 0:
            self._tail = _open(self._tail_path)
        skipped = max(len(data) - self._tail_size, 0)
        position = (self._beyond + skipped) % self._tail_size
        self._beyond += len(data)
        data = data[skipped:]
        first = data[: self._tail_size - position]
        _write_at(self._tail, first, position)
        _write_at(self._tail, data[len(first) :], 0)
        self._ends_line = data.endswith(b"\n")

    def _say(self, message: str) -> None:
        self._emit((b"" if self._ends_line else b"\n") + f"[raylift] {message}\n".encode())

    def _emit(self, data: bytes) -> None:
        if data:
            self._ends_line = data.endswith(b"\n")
            _write_at(self._log, data, None)
            self.relay.write(data)


class Relay:
    """Our own stdout. A reader that is slow makes the script wait, as in a shell; one that left is forgotten."""

    def __init__(self, descriptor: int) -> None:
        self.descriptor = descriptor
        self._pending = memoryview(b"")
        self._open = True
        try:
            self._may_block = not stat.S_ISREG(os.fstat(descriptor).st_mode)
        except OSError:
            self._open = False

    @property
    def is_behind(self) -> bool:
        return bool(self._pending)

    def write(self, data: bytes) -> None:
        if self._open:
            self._pending = memoryview(bytes(self._pending) + data) if self._pending else memoryview(data)
            self.flush()

    def flush(self) -> None:
        """Hand on what can be without waiting."""
        try:
            while self._pending and (not self._may_block or _is_writable(self.descriptor, 0)):
                size = _PIPE_BUF if self._may_block else len(self._pending)
                self._pending = self._pending[os.write(self.descriptor, self._pending[:size]) :]
        except OSError:
            # Nobody reads our stdout any more; output.log is still written.
            self._open, self._pending = False, memoryview(b"")

    def drain(self) -> None:
        """Wait for a slow reader, but not for one that takes nothing at all."""
        while self._pending:
            if not _is_writable(self.descriptor, _DRAIN_SECONDS):
                self._open, self._pending = False, memoryview(b"")
            self.flush()


def _is_a_link(line: str) -> bool:
    return ("View run " in line or "View experiment at:" in line) and "://" in line


def _open(path: str) -> int:
    try:
        return os.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    except OSError as error:
        os.write(2, f"[raylift] {path} cannot be written: {error}\n".encode())
        return os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)


def _remove(path: str) -> None:
    try:
        os.unlink(path)
    except OSError:
        # The script put something else there; the supervisor's retention removes it.
        return


def _write_at(descriptor: int, data: bytes, position: int | None) -> None:
    view = memoryview(data)
    try:
        while view:
            written = os.write(descriptor, view) if position is None else os.pwrite(descriptor, view, position)
            view = view[written:]
            position = None if position is None else position + written
    except OSError:
        # A full disk: the script goes on, its output is lost as it would be with plain redirection.
        return


def _portions(descriptor: int, start: int, count: int, size: int) -> Iterator[bytes]:
    """``count`` bytes from ``start`` on of a ring of ``size`` bytes, in portions."""
    while count > 0:
        start %= size
        portion = os.pread(descriptor, min(count, size - start, _PORTION), start)
        if not portion:
            return
        yield portion
        start += len(portion)
        count -= len(portion)


def _is_writable(descriptor: int, seconds: float) -> bool:
    poller = select.poll()
    poller.register(descriptor, select.POLLOUT)
    return bool(poller.poll(seconds * 1000))
