"""Real processes: an attempt's remaining processes are found by their inheritance, and no others are ended."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import uuid
from collections.abc import Callable, Iterator

import pytest

from raylift.engines.attempts.orphan_processes import end_orphans, is_of_attempt

Start = Callable[..., subprocess.Popen[bytes]]
FORKING = """
import os, time
if os.fork() == 0:
    os.setsid()
    if os.fork() != 0:
        os._exit(0)
os.write(1, b"%d\\n" % os.getpid())
time.sleep(600)
"""


@pytest.fixture
def start() -> Iterator[Start]:
    running: list[subprocess.Popen[bytes]] = []
    pids: list[int] = []

    def begin(**variables: str) -> subprocess.Popen[bytes]:
        process = subprocess.Popen([sys.executable, "-c", FORKING], env={**os.environ, **variables}, stdout=subprocess.PIPE)
        running.append(process)
        assert process.stdout is not None
        # The process and its daemon.
        pids.extend(int(process.stdout.readline()) for _ in range(2))
        return process

    yield begin
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    for process in running:
        process.communicate()


def test_only_processes_of_the_submission_are_ended(start: Start) -> None:
    attempt, next_attempt = f"job_{uuid.uuid4().hex}-a1", f"job_{uuid.uuid4().hex}-a2"
    left = start(RAYLIFT_SUBMISSION_ID=attempt)
    other = start(RAYLIFT_SUBMISSION_ID=next_attempt)
    assert is_of_attempt(left.pid, attempt)
    assert end_orphans(attempt) == 2
    assert not is_of_attempt(left.pid, attempt)
    assert other.poll() is None
    assert end_orphans(attempt) == 0
    assert end_orphans(next_attempt) == 2


def test_direct_submission_is_found_by_ray_s_own_variable(start: Start) -> None:
    submission = f"raysubmit_{uuid.uuid4().hex}"
    left = start(RAY_JOB_CONFIG_JSON_ENV_VAR=json.dumps({"metadata": {"job_submission_id": submission}}))
    mentions = start(RAY_JOB_CONFIG_JSON_ENV_VAR=json.dumps({"metadata": {"note": f"after {submission}"}}))
    assert end_orphans(submission) == 2
    assert not is_of_attempt(left.pid, submission)
    assert mentions.poll() is None


def test_equal_submission_of_another_platform_is_not_ended(start: Start) -> None:
    submission = f"raysubmit_{uuid.uuid4().hex}"
    elsewhere = start(RAYLIFT_SUBMISSION_ID=submission, RAYLIFT_INSTANCE="another")
    assert end_orphans(submission) == 0
    assert elsewhere.poll() is None


def test_daemon_with_a_cleared_environment_is_found_by_its_mark(start: Start) -> None:
    submission = f"job_{uuid.uuid4().hex}-a1"
    code = (
        "import os, sys; from job_entrypoints.linux.process_control import mark_attempt; mark_attempt(sys.argv[1]);"
        f"os.execve(sys.executable, [sys.executable, '-c', {FORKING!r}], {{}})"
    )
    marked = subprocess.Popen([sys.executable, "-c", code, submission], stdout=subprocess.PIPE)
    assert marked.stdout is not None
    pids = [int(marked.stdout.readline()) for _ in range(2)]
    other = start()
    try:
        assert not any(is_of_attempt(pid, submission) for pid in pids)
        assert end_orphans(submission) == 2
        assert other.poll() is None
    finally:
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        marked.communicate()
