"""Reads /proc of processes that may end at any moment."""

from __future__ import annotations

import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

_PORTION = 8192


def read(path: str) -> bytes:
    """The beginning of a file; b"" for a process that has ended or may not be read."""
    try:
        descriptor = os.open(path, os.O_RDONLY)
    except OSError:
        return b""
    try:
        return os.read(descriptor, _PORTION)
    except OSError:
        return b""
    finally:
        os.close(descriptor)


def read_memory(pid: int, name: str, field: bytes) -> bytes:
    """Read ``/proc/PID/name`` of a thread that shows memory: the text then has ``field``."""
    text = b""
    for directory in directories(pid):
        text = read(f"{directory}/{name}")
        if field in text:
            break
    return text


def directories(pid: int) -> Iterator[str]:
    """Yield a process's directory, then its threads'. If the first thread has ended, only the others show memory and files."""
    yield f"/proc/{pid}"
    try:
        threads = os.listdir(f"/proc/{pid}/task")
    except OSError:
        return
    if len(threads) > 1:
        yield from (f"/proc/{pid}/task/{thread}" for thread in threads)


def sum_fields(text: bytes, fields: tuple[bytes, ...]) -> int:
    """Sum of ``Name:  123 kB`` lines, in bytes."""
    return sum(number(text, field) for field in fields) * 1024


def number(text: bytes, field: bytes) -> int:
    at = text.find(field)
    return 0 if at < 0 else int(text[at + len(field) : at + len(field) + 20].split(None, 1)[0])
