"""The output limit: for any input in any pieces, head and tail are kept and the missing bytes are counted."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from job_entrypoints.attempt.output import Output, Relay

LEFT_OUT = re.compile(rb"\n?\[raylift\] (\d+) bytes of output are left out here\n")
LONG = re.compile(rb"\n?\[raylift\] the output is long[^\n]*(?:\n|$)")


def _log(directory: Path, portions: list[bytes], cap: int) -> bytes:
    sink = os.open(directory / "stdout", os.O_RDWR | os.O_CREAT | os.O_TRUNC)
    output = Output(str(directory), cap, sink)
    seen = 0
    for portion in portions:
        output.write(portion)
        size = (directory / "output.log").stat().st_size
        assert size >= seen, "output.log only grows"
        seen = size
    output.finish()
    os.close(sink)
    log = (directory / "output.log").read_bytes()
    assert (directory / "stdout").read_bytes() == log
    assert not (directory / "output.tail").exists()
    return log


def test_output_below_the_limit_is_unchanged(tmp_path: Path) -> None:
    assert _log(tmp_path, [b"a\n", b"\xff\x00", b"b"], 100) == b"a\n\xff\x00b"


def test_output_between_head_and_limit_is_kept(tmp_path: Path) -> None:
    log = _log(tmp_path, [b"0123456789\n"] * 9, 100)
    assert b"[raylift] 0 bytes of output are left out here\n" in log
    assert LEFT_OUT.sub(b"", LONG.sub(b"", log)) == b"0123456789\n" * 9


def test_tail_beyond_the_limit_starts_with_a_whole_line(tmp_path: Path) -> None:
    lines = [f"line {number:04}\n".encode() for number in range(1000)]
    log = _log(tmp_path, lines, 100)
    assert log.startswith(b"line 0000\nline 0001\n")
    tail = LEFT_OUT.split(log)[-1]
    assert tail.splitlines()[-1] == b"line 0999"
    assert all(re.fullmatch(rb"line \d{4}", line) for line in tail.splitlines())


def test_replaced_tail_file_loses_the_tail_only(tmp_path: Path) -> None:
    (tmp_path / "output.tail").mkdir()
    output = Output(str(tmp_path), 100, os.open(os.devnull, os.O_WRONLY))
    output.write(b"x" * 1000)
    output.finish()
    assert (tmp_path / "output.log").read_bytes().startswith(b"x" * 50)


@given(st.lists(st.binary(max_size=60), max_size=30), st.integers(min_value=2, max_value=200))
def test_head_tail_and_count_are_right(tmp_path_factory: pytest.TempPathFactory, portions: list[bytes], cap: int) -> None:
    written = b"".join(portions)
    log = _log(tmp_path_factory.mktemp("output"), portions, cap)
    head_size = cap - cap // 2
    if len(written) <= head_size:
        assert log == written
        return
    assert log.startswith(written[:head_size])
    head, count, tail = LEFT_OUT.split(log, maxsplit=1) if LEFT_OUT.search(log) else (b"", b"-1", b"")
    assert written.endswith(tail)
    assert LONG.search(head)
    assert head_size + int(count) + len(tail) == len(written)
    assert len(tail) <= max(cap // 2, 1)


def test_own_lines_are_separate_and_the_last_line_is_known(tmp_path: Path) -> None:
    sink = os.open(os.devnull, os.O_WRONLY)
    output = Output(str(tmp_path), 1000, sink)
    assert output.last_line() is None
    output.write(b"no newline")
    output.say("stopped")
    output.write(b"ValueError: bad\n\n  \n")
    output.finish()
    os.close(sink)
    assert (tmp_path / "output.log").read_bytes() == b"no newline\n[raylift] stopped\nValueError: bad\n\n  \n"
    assert output.last_line() == "ValueError: bad"


def test_output_that_a_full_pipe_refused_is_kept() -> None:
    reader, writer = os.pipe()
    relay = Relay(writer)
    relay.write(b"x" * 200_000)
    assert relay.is_behind
    taken = 0
    while relay.is_behind:
        taken += len(os.read(reader, 65536))
        relay.flush()
    os.close(writer)
    while data := os.read(reader, 65536):
        taken += len(data)
    assert taken == 200_000


def test_closed_pipe_is_ignored() -> None:
    reader, writer = os.pipe()
    os.close(reader)
    relay = Relay(writer)
    relay.write(b"x" * 200_000)
    assert not relay.is_behind
    relay.write(b"y")
    os.close(writer)


def test_missing_stdout_is_ignored() -> None:
    relay = Relay(999)
    relay.write(b"x")
    assert not relay.is_behind
