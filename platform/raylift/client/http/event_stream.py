"""Decoder for Server-Sent Events (https://html.spec.whatwg.org/multipage/server-sent-events.html)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class StreamEvent:
    """One event. ``id`` is the last id of the stream, also for events without one (as in the standard)."""

    data: str
    type: str = "message"
    id: str | None = None


@dataclass(slots=True)
class _Block:
    data: list[str] = field(default_factory=list[str])
    type: str = ""


def decode_events(chunks: Iterable[bytes]) -> Iterator[StreamEvent]:
    """Events in ``chunks``. An incomplete last event is dropped: the server repeats it after ``Last-Event-ID``."""
    last_id: str | None = None
    block = _Block()
    for line in _lines(chunks):
        if not line:
            if block.data or block.type:
                yield StreamEvent("\n".join(block.data), block.type or "message", last_id)
            block = _Block()
            continue
        name, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if name == "data":
            block.data.append(value)
        elif name == "event":
            block.type = value
        elif name == "id" and "\0" not in value:
            last_id = value


def _lines(chunks: Iterable[bytes]) -> Iterator[str]:
    """Complete lines, ended by CR, LF or CRLF. ``splitlines`` would also cut at U+2028 and form feeds in a script's output."""
    rest = b""
    for chunk in chunks:
        # A CR at the end of a chunk may be half of a CRLF: it is kept for the next chunk.
        buffer = rest + chunk
        held = buffer.endswith(b"\r")
        *whole, rest = (buffer[:-1] if held else buffer).replace(b"\r\n", b"\n").replace(b"\r", b"\n").split(b"\n")
        rest += b"\r" if held else b""
        for line in whole:
            yield line.decode("utf-8", "replace")
