"""Scripts that do not end, use too much memory, hide or crash: each has the right outcome and leaves no process."""

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

MEBIBYTE = 2**20

DAEMON = """
import os, sys, time
def daemon():
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            while True: time.sleep(1)
        os._exit(0)
"""

HOSTILE_TO_STOP = {
    "sleeps": "import time\nprint('ready')\ntime.sleep(1000)",
    "ignores SIGTERM": (
        "import signal, time\nfor s in (15, 2, 1): signal.signal(s, signal.SIG_IGN)\nprint('ready')\nwhile True: time.sleep(1)"
    ),
    "swallows everything": (
        "import signal, time\ndef h(*a): raise RuntimeError\nsignal.signal(15, h)\nprint('ready')\nwhile True:\n"
        "    try: time.sleep(1)\n    except BaseException: pass"
    ),
    "loops in C": "print('ready')\nsum(iter(int, 1))",
    "closed its output": "import os, time\nprint('ready')\nos.close(1); os.close(2)\ntime.sleep(1000)",
    "leaves daemons": DAEMON + "for _ in range(5): daemon()\nprint('ready')\ntime.sleep(1000)",
    "forks all the while": (
        "import os, time, signal\nsignal.signal(15, signal.SIG_IGN)\nsignal.signal(signal.SIGCHLD, signal.SIG_IGN)\n"
        "print('ready')\n"
        "while True:\n    if os.fork() == 0:\n        os.setsid()\n        time.sleep(0.5)\n        os._exit(0)\n"
        "    time.sleep(0.005)"
    ),
    "runs away from pid to pid": (
        "import os, signal, time\nsignal.signal(15, signal.SIG_IGN)\nprint('ready')\n"
        "if os.fork(): time.sleep(1000)\nwhile True:\n    if os.fork(): os._exit(0)"
    ),
    "stopped itself": "import os, signal\nprint('ready', flush=True)\nos.kill(os.getpid(), signal.SIGSTOP)",
    "prints all the while": "import signal\nsignal.signal(15, signal.SIG_IGN)\nprint('ready')\nwhile True: print('x' * 1000)",
    "kills its process group on SIGTERM": (
        "import os, signal, time\nprint('ready')\nsignal.signal(15, lambda *a: os.killpg(0, 9))\ntime.sleep(1000)"
    ),
}


@pytest.mark.parametrize("by", ["file", "signal"])
@pytest.mark.parametrize("name", HOSTILE_TO_STOP)
def test_stop_ends_every_process(name: str, by: str, start: Callable[..., Any], pids_with: Callable[[str], list[int]]) -> None:
    running = start(HOSTILE_TO_STOP[name], stop_grace_seconds=0.5)
    running.wait_for_output("ready")
    if by == "file":
        (running.directory / "stop").touch()
    else:
        running.process.send_signal(signal.SIGTERM)
    result = running.wait(20)
    assert (result.exit_code, result.progress["outcome"]) == (143, "stopped")
    assert pids_with(f"RAYLIFT_JOB_ID={running.directory.name.removesuffix('-a1')}") == []


def test_stop_leaves_the_script_time_to_save(start: Callable[..., Any]) -> None:
    running = start(
        "import signal, sys, time\n"
        "def save(*a):\n    time.sleep(0.5); print('saved'); sys.exit(0)\n"
        "signal.signal(15, save)\nprint('ready')\ntime.sleep(1000)"
    )
    running.wait_for_output("ready")
    (running.directory / "stop").touch()
    result = running.wait(20)
    assert (result.progress["outcome"], result.progress["exit_code"]) == ("stopped", 0)
    assert "saved" in result.output


def test_stop_before_the_start_runs_no_script(make_attempt: Callable[..., Path]) -> None:
    directory = make_attempt("print('must not run')")
    (directory / "stop").touch()
    command = [sys.executable, "-m", "job_entrypoints.train", "--attempt-dir", str(directory)]
    done = subprocess.run(command, capture_output=True, check=False)
    assert (done.returncode, done.stdout) == (143, b"")
    progress = json.loads((directory / "progress.json").read_text())
    assert (progress["outcome"], progress["script_started_at"]) == ("stopped", None)


MEMORY_BOMBS = {
    "blocks": "blocks = []\nwhile True: blocks.append(b'x' * (32 << 20))",
    "one huge array": "import mmap\nm = mmap.mmap(-1, 8 << 30)\nfor i in range(0, 8 << 30, 4096): m[i] = 1",
    "numpy": "import numpy\na = numpy.ones((8 << 30) // 8)",
    "many children": (
        "import os, time\nfor _ in range(16):\n    if os.fork() == 0:\n        b = b'x' * (64 << 20)\n"
        "        time.sleep(1000)\n"
        "time.sleep(1000)"
    ),
    "a daemon": DAEMON.replace("while True: time.sleep(1)", "b = b'x' * (1 << 30); time.sleep(1000)")
    + "daemon(); time.sleep(1000)",
    "shared memory": (
        "from multiprocessing import shared_memory\ns = shared_memory.SharedMemory(create=True, size=2 << 30)\n"
        "import atexit\nfor i in range(0, 2 << 30, 4096): s.buf[i] = 1"
    ),
    "a memfd that is not mapped": (
        "import os, time\nm = os.memfd_create('m')\nfor _ in range(1536): os.write(m, b'x' * (1 << 20))\ntime.sleep(30)"
    ),
    "memfds of many processes": (
        "import os, time\nfor _ in range(15):\n    if os.fork() == 0:\n        m = os.memfd_create('m')\n"
        "        for _ in range(64): os.write(m, b'x' * (1 << 20))\n        time.sleep(30)\n"
        "time.sleep(30)"
    ),
    "an open file in /dev/shm": (
        "import os, time\nf = open(f'/dev/shm/psm_{os.getpid()}', 'wb', 0)\n"
        "for _ in range(1536): f.write(b'x' * (1 << 20))\ntime.sleep(30)"
    ),
    "while being stopped": (
        "import signal, time\nblocks = []\ndef h(*a):\n    while True: blocks.append(b'x' * (32 << 20))\n"
        "signal.signal(15, h)\nimport os\nos.kill(os.getpid(), 15)"
    ),
}


@pytest.mark.parametrize("name", MEMORY_BOMBS)
def test_memory_bomb_is_killed_in_time(name: str, run: Callable[..., Any], pids_with: Callable[[str], list[int]]) -> None:
    limit = 512 * MEBIBYTE
    result = run(MEMORY_BOMBS[name], memory_bytes=limit)
    try:
        assert (result.exit_code, result.progress["outcome"]) == (137, "out_of_memory"), result.output
        usage = result.progress["usage"]
        assert limit < usage["peak_memory_bytes"] < 2 * limit
        assert usage["memory_enforced_by"] == "watchdog"
        assert "512 MiB" in result.progress["message"]
        assert "watchdog" in result.progress["message"]
        assert result.progress["message"] in result.output
        assert pids_with(f"RAYLIFT_JOB_ID={result.directory.name.removesuffix('-a1')}") == []
    finally:
        for segment in os.listdir("/dev/shm"):  # noqa: PTH208
            if segment.startswith("psm_"):
                os.unlink(f"/dev/shm/{segment}")  # noqa: PTH108


def test_memory_shared_by_forked_children_counts_once(run: Callable[..., Any]) -> None:
    result = run(
        "import os, time\nb = b'x' * (200 << 20)\nfor _ in range(8):\n    if os.fork() == 0:\n"
        "        time.sleep(1); os._exit(0)\n"
        "time.sleep(1.5)\nprint('fine')",
        memory_bytes=400 * MEBIBYTE,
    )
    assert result.progress["outcome"] == "exited", result.progress
    assert 200 * MEBIBYTE < result.progress["usage"]["peak_memory_bytes"] < 400 * MEBIBYTE


def test_starting_programs_from_a_large_process_is_within_the_limit(run: Callable[..., Any]) -> None:
    result = run(
        "import subprocess\nb = b'x' * (300 << 20)\nfor _ in range(150): subprocess.run(['/bin/true'])\nprint('fine')",
        memory_bytes=400 * MEBIBYTE,
    )
    assert (result.progress["outcome"], result.output) == ("exited", "fine\n")


def test_daemons_are_ended_with_the_script(run: Callable[..., Any], pids_with: Callable[[str], list[int]]) -> None:
    result = run(DAEMON + "for _ in range(3): daemon()\nprint('done')")
    assert (result.exit_code, result.output) == (0, "done\n")
    assert pids_with(f"RAYLIFT_JOB_ID={result.directory.name.removesuffix('-a1')}") == []


def test_script_continues_after_its_output_is_closed(run: Callable[..., Any]) -> None:
    result = run("import os, time\nprint('a')\nos.close(1); os.close(2)\ntime.sleep(0.3)\nopen('ran', 'w')\nos._exit(4)")
    assert (result.exit_code, result.output) == (4, "a\n")
    assert (result.directory / "work" / "ran").exists()


def test_cpu_time_of_the_whole_tree_is_counted(run: Callable[..., Any]) -> None:
    result = run(
        "import subprocess, sys, time\nburn = 'import time\\nwhile time.process_time() < 0.5: pass'\n"
        "subprocess.run([sys.executable, '-c', burn])\nsubprocess.run([sys.executable, '-c', burn])"
    )
    usage = result.progress["usage"]
    assert 1.0 <= usage["cpu_seconds"] < 3.0
    assert usage["wall_seconds"] >= 1.0


@pytest.mark.parametrize("source", ["import ctypes; ctypes.string_at(0)", "import os; os._exit(9)"])
def test_crash_is_recorded(source: str, run: Callable[..., Any]) -> None:
    result = run(source)
    assert result.progress["state"] == "finished"
    assert result.progress["script_started_at"] < result.progress["finished_at"]


ENDINGS = {
    "exit in an atexit hook": ("import atexit, os\natexit.register(os._exit, 7)", 7, None),
    "os._exit": ("import os\nos._exit(3)", 3, None),
    "sys.exit with a text": ("import sys\nsys.exit('nothing to train on')", 1, "nothing to train on"),
    "an exception in an atexit hook": ("import atexit\natexit.register(lambda: 1 / 0)", 0, None),
    "nothing at all": ("", 0, None),
}


@pytest.mark.parametrize("name", ENDINGS)
def test_script_ends_as_under_plain_python(name: str, run: Callable[..., Any]) -> None:
    source, code, message = ENDINGS[name]
    result = run(source)
    assert (result.exit_code, result.progress["outcome"], result.progress["exit_code"]) == (code, "exited", code)
    assert result.progress["message"] == message
