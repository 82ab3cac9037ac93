"""Folders of a node for attempts whose directory it does not see."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from job_entrypoints.attempt.record import AttemptUnreadable
from job_entrypoints.contract import NODE_DIRECTORY_VARIABLE
from job_entrypoints.courier.node_directory import attempt_in, make_directory

YESTERDAY = 1_000_000_000


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv(NODE_DIRECTORY_VARIABLE, str(tmp_path / "node"))
    return tmp_path / "node"


def test_folder_that_others_may_enter_is_refused(folder: Path) -> None:
    folder.mkdir(mode=0o755)
    folder.chmod(0o755)
    with pytest.raises(AttemptUnreadable, match=f"must be a folder of this user alone; set {NODE_DIRECTORY_VARIABLE}"):
        make_directory("job_A-a1")


def test_attempt_begins_in_an_empty_directory(folder: Path) -> None:
    (folder / "job_A-a1" / "work").mkdir(parents=True)
    folder.chmod(0o700)
    assert list(Path(make_directory("job_A-a1")).iterdir()) == []


def test_old_directories_without_a_wrapper_are_removed(folder: Path) -> None:
    hold = "import sys; from job_entrypoints.courier.node_directory import make_directory; make_directory('job_runs-a1');"
    wrapper = subprocess.Popen(
        [sys.executable, "-c", f"{hold} print('up', flush=True); sys.stdin.read()"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert wrapper.stdin is not None
    assert wrapper.stdout is not None
    wrapper.stdout.readline()
    for name in ("job_old-a1", "job_new-a1"):
        (folder / name).mkdir()
    for name in ("job_old-a1", "job_runs-a1"):
        os.utime(folder / name, (YESTERDAY, YESTERDAY))
    make_directory("job_A-a1")
    assert sorted(path.name for path in folder.iterdir()) == ["job_A-a1", "job_new-a1", "job_runs-a1"]
    wrapper.stdin.close()
    wrapper.wait()
    wrapper.stdout.close()
    os.utime(folder / "job_runs-a1", (YESTERDAY, YESTERDAY))
    make_directory("job_A-a1")
    assert not (folder / "job_runs-a1").exists()


def test_paths_of_the_platform_become_paths_of_the_node(tmp_path: Path) -> None:
    record = {
        "job_id": "job_A",
        "script": "train.py",
        "script_path": "/state/attempts/job_A-a1/work/train.py",
        "python_path": ["/state/attempts/job_A-a1/work/.", "/opt/libraries"],
        "environment": {"KEY": "secret"},
    }
    (tmp_path / "attempt.json").write_text(json.dumps(record))
    attempt = attempt_in(str(tmp_path), "/state/attempts/job_A-a1")
    assert attempt.script_path == f"{tmp_path}/work/train.py"
    assert attempt.python_path == [f"{tmp_path}/work/.", "/opt/libraries"]
    assert attempt.protected_paths == [str(tmp_path.parent)]
    assert "secret" not in (tmp_path / "attempt.json").read_text()
