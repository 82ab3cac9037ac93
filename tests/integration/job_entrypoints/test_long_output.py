"""Output of real scripts beyond its limit."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

MEBIBYTE = 2**20


def test_long_output_keeps_its_head_and_tail(run: Callable[..., Any]) -> None:
    result = run(
        "import sys\nfor i in range(300):\n    sys.stdout.write(f'block {i} ' + 'x' * (1 << 20) + '\\n')\nprint('the end')",
        max_log_bytes=4 * MEBIBYTE,
        environment={"PYTHONUNBUFFERED": ""},
    )
    assert result.exit_code == 0
    size = (result.directory / "output.log").stat().st_size
    assert 3 * MEBIBYTE <= size <= 4 * MEBIBYTE + 1000
    assert result.output.startswith("block 0 ")
    assert result.output.endswith("x\nthe end\n")
    (left_out,) = re.findall(r"\[raylift\] (\d+) bytes of output are left out here\n", result.output)
    assert 295 * MEBIBYTE < int(left_out) < 300 * MEBIBYTE
    assert result.stdout.decode() == result.output
    assert not (result.directory / "output.tail").exists()


def test_output_bytes_are_not_changed(run: Callable[..., Any]) -> None:
    result = run("import os\nos.write(1, bytes(range(256)) * 10)\nos.write(2, b'\\xff no newline')")
    assert (result.directory / "output.log").read_bytes() == bytes(range(256)) * 10 + b"\xff no newline"
    assert result.stdout == bytes(range(256)) * 10 + b"\xff no newline"


def test_unread_output_blocks_neither_watchdog_nor_end(start: Callable[..., Any]) -> None:
    # The wrapper's stdout pipe is not read until communicate().
    running = start("for i in range(40000): print('y' * 100)", max_log_bytes=64 * MEBIBYTE, stop_grace_seconds=0.2)
    running.wait_for_output("y")
    # A pipe of 64 KiB may be full at half of that: a write that does not fit into the rest of a page begins the next one.
    running.wait_until(lambda: (running.directory / "output.log").stat().st_size > 30_000)
    (running.directory / "stop").touch()
    running.wait_until(lambda: '"finished"' in (running.directory / "progress.json").read_text(), 30)
    assert running.wait().progress["outcome"] == "stopped"
