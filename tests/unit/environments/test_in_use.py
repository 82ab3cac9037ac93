"""The two marks of use on plain directories, without uv and Ray."""

from __future__ import annotations

import fcntl
import os
import subprocess
import sys
from pathlib import Path

import pytest

from raylift.engines.environments.overlays.in_use import (
    exclusive,
    is_expected,
    is_locked,
    last_used,
    named_by_processes,
    note_use,
    shared,
)
from raylift.engines.environments.overlays.mark import hold

_NAME = "0123456789abcdef01234567"


@pytest.fixture
def overlay(tmp_path: Path) -> Path:
    directory = tmp_path / _NAME
    directory.mkdir()
    (directory / "last_used").touch()
    os.utime(directory / "last_used", (1, 1))
    return directory


def _free(directory: Path) -> bool:
    with exclusive(directory) as free:
        return free


def test_unused_directory_can_be_claimed(overlay: Path) -> None:
    assert _free(overlay)
    assert not is_locked(overlay)
    assert _free(overlay.with_name("f" * 24)), "one that is not there, or half built, has no lock file"


def test_lock_of_a_process_is_seen_until_it_ends(overlay: Path) -> None:
    code = f"""
import sys, time
from raylift.engines.environments.overlays.mark import hold
hold({str(overlay / "last_used")!r})
print(flush=True)
time.sleep(60)
"""
    # Read from stdin, so no command line names the overlay: only the lock marks the use.
    with subprocess.Popen([sys.executable, "-"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin
        process.stdin.write(code)
        process.stdin.close()
        assert process.stdout
        process.stdout.readline()
        assert named_by_processes(overlay.parent) == set()
        assert is_locked(overlay)
        assert not _free(overlay)
        assert last_used(overlay) > 1
        process.kill()
    assert _free(overlay)


def test_started_programs_do_not_inherit_the_lock(overlay: Path) -> None:
    code = f"""
import subprocess, sys
from raylift.engines.environments.overlays.mark import hold
hold({str(overlay / "last_used")!r})
print(subprocess.Popen(["sleep", "60"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True).pid)
"""
    done = subprocess.run([sys.executable, "-"], input=code, capture_output=True, text=True, check=True)
    try:
        assert _free(overlay)
    finally:
        os.kill(int(done.stdout), 9)


def test_forked_process_keeps_the_lock(overlay: Path) -> None:
    code = f"""
import os, time
from raylift.engines.environments.overlays.mark import hold
hold({str(overlay / "last_used")!r})
child = os.fork()
if child == 0:
    os.close(1); os.close(2); time.sleep(60)
print(child)
"""
    done = subprocess.run([sys.executable, "-"], input=code, capture_output=True, text=True, check=True)
    try:
        assert not _free(overlay)
    finally:
        os.kill(int(done.stdout), 9)


def test_failed_mark_is_ignored(tmp_path: Path) -> None:
    hold(str(tmp_path / "nothing"))


@pytest.mark.parametrize("how", ["cmdline", "environ"])
def test_process_with_the_overlay_in_its_command_line_is_seen(overlay: Path, how: str) -> None:
    argument, variables = (str(overlay / "bin"), {}) if how == "cmdline" else ("x", {"VIRTUAL_ENV": str(overlay)})
    with subprocess.Popen(
        ["sh", "-c", "echo; read x", argument], stdin=-1, stdout=-1, env={"PATH": os.defpath, **variables}
    ) as shell:
        assert shell.stdout
        shell.stdout.readline()
        assert named_by_processes(overlay.parent) == {_NAME}
        assert not _free(overlay)
        assert _free(overlay.with_name("f" * 24))
        shell.kill()


def test_request_for_an_overlay_keeps_it_for_a_while(overlay: Path) -> None:
    with shared(overlay):
        assert not _free(overlay)
    assert _free(overlay)


def test_claim_keeps_others_from_starting(overlay: Path) -> None:
    with exclusive(overlay) as free, (overlay / "last_used").open() as file:
        assert free
        with pytest.raises(BlockingIOError):
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)


def test_expected_worker_keeps_the_overlay_until_it_starts(overlay: Path) -> None:
    note_use(overlay, expected=True)
    assert is_expected(overlay)
    assert not _free(overlay)
    assert last_used(overlay) > 1
    hold_and_let_go(overlay)
    assert not is_expected(overlay)
    assert _free(overlay)


def test_wait_for_an_expected_worker_ends(overlay: Path) -> None:
    note_use(overlay, expected=True)
    os.utime(overlay / ".expected", (1000, 1000))
    assert not is_expected(overlay)
    assert _free(overlay)


def hold_and_let_go(overlay: Path) -> None:
    code = f"from raylift.engines.environments.overlays.mark import hold; hold({str(overlay / 'last_used')!r})"
    subprocess.run([sys.executable, "-"], input=code, text=True, check=True)
