"""Copies the script's output to output.log and to the wrapper's stdout (Ray's job log), byte for byte, up to a cap.

The first half of the cap is written as it comes. Later output goes round in ``output.tail``, a ring of the other half's size,
and is appended when the script has ended. So output.log only grows: a reader that follows it by offset reads no byte twice.
"""

from __future__ import annotations

import os
import select
import stat

from job_entrypoints.contract import OUTPUT_FILE, OUTPUT_TAIL_FILE

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from job_entrypoints.attempt.masking import Mask

_PIPE_BUF = 4096
_PORTION = 1 << 20
_DRAIN_SECONDS = 5.0
_LINE_SEARCH = 8192
_LAST_BYTES = 4096


class Output:
    """Takes the script's bytes. Never raises: a full disk or a reader that left must not end the script."""

    def __init__(self, directory: str, cap: int, own_stdout: int = 1, mask: Mask | None = None) -> None:
        self._mask = mask
        self._log = _open(f"{directory}/{OUTPUT_FILE}")
        self._tail_path = f"{directory}/{OUTPUT_TAIL_FILE}"
        self._tail = -1
        self._head_left = cap - cap // 2
        self._tail_size = max(cap // 2, 1)
        self._beyond = 0
        """Bytes that came after the head was full."""
        self._ends_line = True
        self._last = b""
        self.relay = Relay(own_stdout)

    def write(self, data: bytes) -> None:
        self._write(data if self._mask is None else self._mask.apply(data))

    def end(self) -> None:
        """Write what the mask holds back. The script writes no more."""
        if self._mask is not None:
            self._write(self._mask.flush())

    def _write(self, data: bytes) -> None:
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
        """Write a line of the wrapper among the script's."""
        line = f"[raylift] {message}\n".encode()
        begins_line = self._ends_line and not (self._mask is not None and self._mask.holds_back)
        self.write(line if begins_line else b"\n" + line)

    def last_line(self) -> str | None:
        """The last line that is not empty: after a traceback, the error itself. Links that MLflow prints are skipped."""
        lines = [line for line in self._last.decode(errors="replace").splitlines() if line.strip() and not _is_a_link(line)]
        return lines[-1].strip()[:500] if lines else None

    def finish(self) -> None:
        """Append the tail, if there is one, and wait a few seconds for a slow reader of stdout."""
        self.end()
        if self._beyond:
            length = min(self._beyond, self._tail_size)
            start = self._beyond % self._tail_size if self._beyond > length else 0
            if self._beyond > length:
                # The tail begins with a whole line, unless a line is very long.
                skipped = os.pread(self._tail, _LINE_SEARCH, start).find(b"\n") + 1
                length -= skipped
                start += skipped
            self._say(f"{self._beyond - length} bytes of output are left out here")
            for portion in _portions(self._tail, start, length, self._tail_size):
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
    """The wrapper's stdout. A slow reader makes the script wait, as in a shell; a reader that left is forgotten."""

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
        """Write as much as goes without waiting."""
        try:
            while self._pending and (not self._may_block or _is_writable(self.descriptor, 0)):
                size = _PIPE_BUF if self._may_block else len(self._pending)
                self._pending = self._pending[os.write(self.descriptor, self._pending[:size]) :]
        except OSError:
            # The reader of stdout has gone. output.log is still written.
            self._open, self._pending = False, memoryview(b"")

    def drain(self) -> None:
        """Wait for a slow reader, but not for one that reads nothing for ``_DRAIN_SECONDS``."""
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
        # The script put something else there. The supervisor's retention removes it.
        return


def _write_at(descriptor: int, data: bytes, position: int | None) -> None:
    view = memoryview(data)
    try:
        while view:
            written = os.write(descriptor, view) if position is None else os.pwrite(descriptor, view, position)
            view = view[written:]
            position = None if position is None else position + written
    except OSError:
        # The disk is full. The script goes on; its output is lost, as with plain redirection.
        return


def _portions(descriptor: int, start: int, count: int, size: int) -> Iterator[bytes]:
    """Read ``count`` bytes from ``start`` on of a ring of ``size`` bytes, in portions."""
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
