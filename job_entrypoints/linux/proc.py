"""What /proc says of processes that may end at any moment."""

# ruff: noqa: PTH208
# (importing pathlib would cost every job's start some milliseconds)
from __future__ import annotations

import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

_PORTION = 8192


def read(path: str) -> bytes:
    """The file's beginning; nothing of a process that has ended or is not ours to see."""
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
    """``/proc/PID/name``, which has ``field`` where it says anything of memory."""
    text = b""
    for directory in directories(pid):
        text = read(f"{directory}/{name}")
        if field in text:
            break
    return text


def directories(pid: int) -> Iterator[str]:
    """The process's directory, then its threads': when the first thread has ended, only the others show memory and files."""
    yield f"/proc/{pid}"
    try:
        threads = os.listdir(f"/proc/{pid}/task")
    except OSError:
        return
    if len(threads) > 1:
        yield from (f"/proc/{pid}/task/{thread}" for thread in threads)


def sum_fields(text: bytes, fields: tuple[bytes, ...]) -> int:
    """The sum, in bytes, of ``Name:  123 kB`` lines."""
    return sum(number(text, field) for field in fields) * 1024


def number(text: bytes, field: bytes) -> int:
    at = text.find(field)
    return 0 if at < 0 else int(text[at + len(field) : at + len(field) + 20].split(None, 1)[0])
