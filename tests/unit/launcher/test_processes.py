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
# Forks a child that leaves the session and outlives its parent, as a job's daemon does, and prints its pid.
DAEMON = """
import subprocess, sys
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(300)"], start_new_session=True)
print(child.pid, flush=True)
"""
# Its child has an empty environment.
SHELL = """
import subprocess, sys
subprocess.run([sys.executable, "-c", "import time; print(1, flush=True); time.sleep(300)"], env={})
"""
# A process of a script whose wrapper was killed: without parent, session and environment.
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


def test_orphaned_daemon_is_found_and_ended(instance: str) -> None:
    with started(DAEMON, instance) as parent:
        daemon = psutil.Process(int(first_line(parent)))
        parent.wait()
    assert [process.pid for process in processes_of(instance)] == [daemon.pid]
    assert end_all(instance, grace_seconds=1)
    assert not daemon.is_running() or daemon.status() == psutil.STATUS_ZOMBIE


def test_child_with_a_cleared_environment_is_ended(instance: str) -> None:
    with started(SHELL, instance) as parent:
        first_line(parent)
        assert len(processes_of(instance)) == 2
        end_all(instance, grace_seconds=1)
        assert not processes_of(instance)


def test_job_process_without_parent_and_environment_is_ended(instance: str) -> None:
    with started(FORGOTTEN, instance) as parent:
        daemon = psutil.Process(int(first_line(parent)))
        parent.wait()
    assert processes_of(uuid.uuid4().hex) == []
    assert [process.pid for process in processes_of(instance)] == [daemon.pid]
    end_all(instance, grace_seconds=1)
    assert not daemon.is_running() or daemon.status() == psutil.STATUS_ZOMBIE


def test_instance_is_found_by_its_temporary_folder(instance: str, tmp_path: Path) -> None:
    """All processes of a platform share one temporary folder. It identifies them if the record is lost."""
    place = str(tmp_path)
    with subprocess.Popen(["sleep", "300"], env={MARK: instance, "TMPDIR": place}) as process:
        assert instances_with("TMPDIR", place) == {instance}
        assert instances_with("TMPDIR", f"{place}/elsewhere") == set()
        process.kill()


def test_processes_of_others_are_not_ended(instance: str) -> None:
    other = uuid.uuid4().hex
    with started("print(1, flush=True); import time; time.sleep(300)", other) as bystander:
        first_line(bystander)
        assert end_all(instance, grace_seconds=1) == []
        assert bystander.poll() is None
        bystander.kill()


def test_caller_is_not_ended(monkeypatch: pytest.MonkeyPatch, instance: str) -> None:
    """`raylift down` inside of a job's process tree must not end itself."""
    code = (
        "import sys; sys.path.insert(0, 'platform')\n"
        "from raylift.launcher.processes.platform_processes import processes_of\n"
        f"print(processes_of({instance!r}), flush=True)"
    )
    with started(code, instance) as process:
        assert first_line(process).strip() == "[]"


# A wrapper by its command line, and a script below it that saves when it is stopped.
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


def test_scripts_can_save_and_wrappers_get_no_signal(instance: str, tmp_path: Path) -> None:
    """A wrapper would record the script's end with the platform as a failure of the job."""
    saved, outcome = tmp_path / "saved", tmp_path / "outcome"
    command = [sys.executable, "-c", WRAPPER, "job_entrypoints.train", SCRIPT, str(saved), str(outcome)]
    with subprocess.Popen(command, env={MARK: instance}, stdout=subprocess.PIPE, text=True) as wrapper:
        first_line(wrapper)
        end_all(instance, grace_seconds=10)
    assert saved.read_text() == "saved"
    assert not outcome.exists()
