from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from raylift.client.http.event_stream import StreamEvent, decode_events


def decode(*chunks: bytes) -> list[StreamEvent]:
    return list(decode_events(chunks))


def test_fields_are_read_as_in_the_standard():
    assert decode(b": hello\n\nid: 7\nevent: log\ndata: a\ndata:b\nretry: 5\nnonsense\n\ndata\n\n") == [
        StreamEvent("a\nb", "log", "7"),
        StreamEvent("", "message", "7"),
    ]


def test_incomplete_event_is_dropped():
    assert decode(b"data: whole\n\ndata: ha") == [StreamEvent("whole")]
    assert decode(b"data: whole\n\ndata: half\n") == [StreamEvent("whole")]


def test_only_cr_and_lf_end_a_line():
    text = "a\u2028b\x0cc\x85d\u2029e\x1cf"
    assert decode(f"data: {text}\n\n".encode()) == [StreamEvent(text)]
    assert decode(b"data: a\r\n\r\ndata: b\r\rdata: c\n\n") == [StreamEvent("a"), StreamEvent("b"), StreamEvent("c")]


@given(st.lists(st.text(st.characters(exclude_characters="\r\n", exclude_categories=["Cs"])), min_size=1), st.integers(1, 7))
def test_any_chunking_gives_the_same_events(lines: list[str], size: int):
    raw = "".join(f"id: {number}\r\ndata: {line}\r\n\r\n" for number, line in enumerate(lines)).encode()
    # The last CR LF must be followed by data: a decoder has to wait after a CR.
    raw += b":\n"
    chunks = [raw[start : start + size] for start in range(0, len(raw), size)]
    assert [event.data for event in decode(*chunks)] == lines
