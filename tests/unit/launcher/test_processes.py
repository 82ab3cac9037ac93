from __future__ import annotations

import subprocess
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from raylift.launcher.processes.platform_processes import MARK, end_all, instances_with, processes_of

ROOT = Path(__file__).resolve().parents[3]
# Forks a child that leaves the session and outlives its parent, as a job's daemon does, and says its pid.
DAEMON = """
import subprocess, sys
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(300)"], start_new_session=True)
print(child.pid, flush=True)
"""
# Its child has no environment at all.
SHELL = """
import subprocess, sys
subprocess.run([sys.executable, "-c", "import time; print(1, flush=True); time.sleep(300)"], env={})
"""
# What a job's script leaves when all of its wrapper was killed: no parent, no session, no environment.
FORGOTTEN = """
import os, subprocess, sys
from job_entrypoints.linux.process_control import mark_attempt
mark_attempt("job_1-a1")
subprocess.Popen(
    [sys.executable, "-c", "import os, time; print(os.getpid(), flush=True); time.sleep(300)"], start_new_session=True, env={}
)
"""


@pytest.fixture
def instance() -> Iterator[str]:
    name = uuid.uuid4().hex
    yield name
    for process in processes_of(name):
        process.kill()


def started(code: str, instance: str) -> subprocess.Popen[str]:
    environment = {MARK: instance, "PYTHONPATH": str(ROOT)}
    return subprocess.Popen([sys.executable, "-c", code], env=environment, stdout=subprocess.PIPE, text=True)


def first_line(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline()


def test_an_orphaned_daemon_is_found_and_ended(instance: str) -> None:
    with started(DAEMON, instance) as parent:
        daemon = psutil.Process(int(first_line(parent)))
        parent.wait()
    assert [process.pid for process in processes_of(instance)] == [daemon.pid]
    assert end_all(instance, grace_seconds=1)
    assert not daemon.is_running() or daemon.status() == psutil.STATUS_ZOMBIE


def test_a_child_that_cleared_its_environment_is_ended_too(instance: str) -> None:
    with started(SHELL, instance) as parent:
        first_line(parent)
        assert len(processes_of(instance)) == 2
        end_all(instance, grace_seconds=1)
        assert not processes_of(instance)


def test_what_a_job_left_without_parent_and_environment_is_ended_too(instance: str) -> None:
    with started(FORGOTTEN, instance) as parent:
        daemon = psutil.Process(int(first_line(parent)))
        parent.wait()
    assert processes_of(uuid.uuid4().hex) == []
    assert [process.pid for process in processes_of(instance)] == [daemon.pid]
    end_all(instance, grace_seconds=1)
    assert not daemon.is_running() or daemon.status() == psutil.STATUS_ZOMBIE


def test_an_instance_is_found_by_what_its_processes_have_in_common(instance: str, tmp_path: Path) -> None:
    """All of a platform have their temporary files in one place: what finds it when its record is gone."""
    place = str(tmp_path)
    with subprocess.Popen(["sleep", "300"], env={MARK: instance, "TMPDIR": place}) as process:
        assert instances_with("TMPDIR", place) == {instance}
        assert instances_with("TMPDIR", f"{place}/elsewhere") == set()
        process.kill()


def test_others_are_left_alone(instance: str) -> None:
    other = uuid.uuid4().hex
    with started("print(1, flush=True); import time; time.sleep(300)", other) as bystander:
        first_line(bystander)
        assert end_all(instance, grace_seconds=1) == []
        assert bystander.poll() is None
        bystander.kill()


def test_the_caller_is_never_among_them(monkeypatch: pytest.MonkeyPatch, instance: str) -> None:
    """`raylift down` from within a job's process tree must not end itself half-way."""
    code = (
        "import sys; sys.path.insert(0, 'platform')\n"
        "from raylift.launcher.processes.platform_processes import processes_of\n"
        f"print(processes_of({instance!r}), flush=True)"
    )
    with started(code, instance) as process:
        assert first_line(process).strip() == "[]"


# A wrapper by its command line, with a script below it that saves when it is asked to stop.
SCRIPT = """
import pathlib, signal, sys, time

def save(*_):
    pathlib.Path(sys.argv[1]).write_text("saved")
    sys.exit(3)

signal.signal(signal.SIGTERM, save)
print("ready", flush=True)
time.sleep(300)
"""
WRAPPER = """
import pathlib, subprocess, sys
code = subprocess.run([sys.executable, "-c", sys.argv[2], sys.argv[3]]).returncode
pathlib.Path(sys.argv[4]).write_text(str(code))
"""


def test_scripts_may_save_and_their_wrappers_never_hear_of_it(instance: str, tmp_path: Path) -> None:
    """What a wrapper writes of a script that was ended with the platform would count as the job's failure."""
    saved, outcome = tmp_path / "saved", tmp_path / "outcome"
    command = [sys.executable, "-c", WRAPPER, "job_entrypoints.train", SCRIPT, str(saved), str(outcome)]
    with subprocess.Popen(command, env={MARK: instance}, stdout=subprocess.PIPE, text=True) as wrapper:
        first_line(wrapper)
        end_all(instance, grace_seconds=10)
    assert saved.read_text() == "saved"
    assert not outcome.exists()
