"""Foreground forms: logs on standard output, and the end that a signal or a lost process brings."""

from __future__ import annotations

import io
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from raylift.launcher.nodes.foreground import LogFollower, Signals, logs_of, stay
from raylift.launcher.nodes.leave import was_drained
from raylift.launcher.nodes.record import NodeRecord
from raylift.ray_internals.draining import DRAINED


@pytest.fixture
def handlers() -> Iterator[None]:
    """The signal handlers of this process, as before."""
    former = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    yield
    for number, handler in former.items():
        signal.signal(number, handler)


@pytest.fixture
def process() -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"]) as running:
        yield running
        running.kill()


def test_complete_lines_are_copied_once_with_their_log_s_name(tmp_path: Path) -> None:
    path, out = tmp_path / "raylet.err", io.StringIO()
    follower = LogFollower(lambda: [path, tmp_path / "absent"], out)
    path.write_text("one\ntw", encoding="utf-8")
    follower.copy()
    assert out.getvalue() == "raylet.err: one\n"
    with path.open("a", encoding="utf-8") as file:
        file.write("o\nthree\n")
    follower.copy()
    follower.copy()
    assert out.getvalue() == "raylet.err: one\nraylet.err: two\nraylet.err: three\n"


def test_log_that_begins_anew_is_copied_from_its_beginning(tmp_path: Path) -> None:
    path, out = tmp_path / "mlflow.log", io.StringIO()
    follower = LogFollower(lambda: [path], out)
    path.write_text("a long first line\n", encoding="utf-8")
    follower.copy()
    path.write_text("new\n", encoding="utf-8")
    follower.copy()
    assert out.getvalue().endswith("mlflow.log: new\n")


def test_logs_are_those_of_all_sessions_and_of_the_platform(tmp_path: Path) -> None:
    logs = tmp_path / "r" / "session_1" / "logs"
    (logs / "serve").mkdir(parents=True)
    (tmp_path / "r" / "session_latest").symlink_to(tmp_path / "r" / "session_1")
    own = tmp_path / "logs"
    own.mkdir()
    for path in (
        logs / "raylet.err",
        logs / "worker-1.err",
        logs / "serve" / "replica.log",
        logs / "events.txt",
        own / "mlflow.log",
    ):
        path.touch()
    names = [path.name for path in logs_of(tmp_path, own)]
    assert sorted(names) == ["mlflow.log", "raylet.err", "replica.log", "worker-1.err"]


def test_signal_ends_the_wait(handlers: None, process: subprocess.Popen[bytes]) -> None:
    signals = Signals()
    sender = threading.Timer(0.2, os.kill, (os.getpid(), signal.SIGTERM))
    sender.start()
    assert stay([process.pid], signals, LogFollower(list))
    sender.join()
    assert signals.count == 1


def test_end_of_a_main_process_ends_the_wait(handlers: None, process: subprocess.Popen[bytes]) -> None:
    process.kill()
    assert not stay([process.pid], Signals(), LogFollower(list))
    process.wait()
    assert not stay([process.pid], Signals(), LogFollower(list))


def test_drained_node_is_told_from_a_lost_one(tmp_path: Path) -> None:
    record = NodeRecord(
        instance="a",
        url="http://m1:8000",
        address="10.0.0.6",
        ray_address="10.0.0.5:1",
        session_dir=tmp_path,
        state_dir=tmp_path,
        environment={},
    )
    log = tmp_path / "r" / "session_1" / "logs" / "raylet.out"
    log.parent.mkdir(parents=True)
    log.write_text("[x] node_manager.cc: GCS is gone\n", encoding="utf-8")
    assert not was_drained(record)
    log.write_text(f"[x] raylet: {DRAINED}...\n[x] main.cc: bye\n", encoding="utf-8")
    assert was_drained(record)
