"""SIGKILL of any process of the wrapper: the script and its daemons end, and a record says what happened."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

SCRIPT = """
import os, signal, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        print("daemon runs")
        while True: time.sleep(1)
    os._exit(0)
os.wait()
print("ready")
while True: time.sleep(1)
"""


def _read_progress(directory: Path) -> dict[str, Any]:
    return json.loads((directory / "progress.json").read_text())


@pytest.mark.parametrize("victim", ["anchor", "group of the anchor", "monitor", "script"])
def test_no_process_survives_a_kill_of_the_wrapper(
    victim: str, start: Callable[..., Any], pids_with: Callable[[str], list[int]]
) -> None:
    running = start(SCRIPT)
    running.wait_for_output("daemon runs")
    running.wait_for_output("ready")
    marker = f"RAYLIFT_JOB_ID={running.directory.name.removesuffix('-a1')}"
    assert len(pids_with(marker)) == 2
    progress = _read_progress(running.directory)
    if victim == "group of the anchor":
        # Ray does this when it loses its own job supervisor.
        os.killpg(running.process.pid, signal.SIGKILL)
    else:
        pids = {"anchor": running.process.pid, "monitor": progress["wrapper_pid"], "script": progress["script_pid"]}
        os.kill(pids[victim], signal.SIGKILL)

    running.wait_until(lambda: not pids_with(marker))
    running.wait_until(lambda: _read_progress(running.directory)["state"] == "finished")
    running.wait()
    progress = _read_progress(running.directory)
    if victim == "script":
        assert (progress["outcome"], progress["signal"]) == ("signaled", signal.SIGKILL)
    else:
        assert progress["outcome"] == "wrapper_error"
        assert "killed" in progress["message"]


def test_script_that_stops_its_monitor_is_still_watched(start: Callable[..., Any]) -> None:
    running = start(
        "import os, signal, time\nos.kill(os.getppid(), signal.SIGSTOP)\nheld = b'x' * (256 << 20)\ntime.sleep(60)",
        memory_bytes=128 << 20,
    )
    assert running.wait().progress["outcome"] == "out_of_memory"


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"job_id": "job_X"}', None])
def test_unreadable_attempt_is_recorded(content: str | None, tmp_path: Path) -> None:
    if content is not None:
        (tmp_path / "attempt.json").write_text(content)
    done = subprocess.run(
        [sys.executable, "-m", "job_entrypoints.train", "--attempt-dir", str(tmp_path)], capture_output=True, check=False
    )
    assert done.returncode == 70
    assert b"attempt.json" in done.stderr
    progress = _read_progress(tmp_path)
    assert (progress["outcome"], progress["state"]) == ("wrapper_error", "finished")


def test_missing_script_is_recorded_as_a_user_error(start: Callable[..., Any]) -> None:
    running = start("", script="other.py")
    result = running.wait()
    assert result.progress["outcome"] == "exited"
    assert "other.py" in result.output
