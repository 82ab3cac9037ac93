"""Parts of the sandbox that need no confined process."""

from __future__ import annotations

import os
import socket
import sys
from pathlib import Path
from typing import Any

import pytest

from job_entrypoints.attempt.record import Attempt
from job_entrypoints.linux.landlock import ABI_OF_TCP, abi_version
from job_entrypoints.sandbox.environment import interpreter, sandbox_environment
from job_entrypoints.sandbox.job_user import reserve_user
from job_entrypoints.sandbox.paths import closed_above, is_closed_python, outside, readable
from job_entrypoints.sandbox.port_rules import allowed_ports, ask_for_rules, server_address
from job_entrypoints.sandbox.port_server import serve_rules


def attempt(tmp_path: Path, **fields: Any) -> Attempt:
    return Attempt(str(tmp_path), {"job_id": "j", "script": "s.py", "isolation": "sandbox", **fields})


def test_platforms_ports_are_not_allowed() -> None:
    allowed = allowed_ports("8000,20000-20999,40000;20015")
    assert {0, 1, 443, 5432, 7999, 20_015, 25_060, 40_001, 65_535} <= set(allowed)
    assert not {8000, 20_500, 40_000} & set(allowed)


@pytest.mark.skipif(abi_version() < ABI_OF_TCP, reason="this kernel's Landlock knows no TCP")
def test_server_gives_rules_to_processes_of_its_user() -> None:
    instance = f"test-{os.getpid()}"
    assert ask_for_rules(instance, "8000") is None
    assert serve_rules(instance)
    assert not serve_rules(instance), "the name is taken"
    rules = ask_for_rules(instance, "8000,20000-65535")
    assert rules is not None
    assert str(Path(f"/proc/self/fd/{rules}").readlink()) == "anon_inode:[landlock-ruleset]"
    os.close(rules)


def test_name_of_the_server_may_be_taken_by_something_else() -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as other:
        other.bind(server_address("taken"))
        other.listen()
        assert ask_for_rules("taken", "8000") is None


def test_readable_paths_leave_out_the_platforms_folder(tmp_path: Path) -> None:
    for name in ("state", "data"):
        (tmp_path / name).mkdir()
    found = readable(sys.executable, [str(tmp_path), "/nowhere"], [str(tmp_path / "state")])
    assert str(tmp_path / "data") in found
    assert not {str(tmp_path), str(tmp_path / "state"), "/nowhere"} & set(found)


def test_open_folder_is_not_written_where_the_platform_lies(tmp_path: Path) -> None:
    for name in ("out", "state"):
        (tmp_path / name).mkdir()
    assert outside([str(tmp_path), str(tmp_path / "state")], [str(tmp_path / "state")]) == {str(tmp_path / "out")}


def test_highest_closed_folder_is_found(tmp_path: Path) -> None:
    closed = tmp_path / "closed"
    (closed / "a" / "b").mkdir(parents=True)
    closed.chmod(0o700)
    # pytest's own folder may be closed as well, and lies above.
    (highest,) = closed_above([str(closed / "a" / "b")])
    assert str(closed).startswith(highest)
    assert closed_above(["/usr/bin"]) == {}


def test_environment_has_nothing_of_the_platform(tmp_path: Path) -> None:
    inherited = {
        "RAY_ADDRESS": "x",
        "RAYLIFT_REFUSED_PORTS": "1",
        "HOME": "/root",
        "UV_CACHE_DIR": "/c",
        "PIP_INDEX_URL": "i",
        "A": "b",
    }
    made = sandbox_environment(attempt(tmp_path, environment={"RAY_OWN": "mine"}), {**inherited, "RAY_OWN": "mine"})
    assert not {"RAY_ADDRESS", "RAYLIFT_REFUSED_PORTS", "UV_CACHE_DIR"} & made.keys()
    assert (made["A"], made["PIP_INDEX_URL"], made["RAY_OWN"]) == ("b", "i", "mine")
    assert made["HOME"].startswith(str(tmp_path))
    assert made["PIP_TARGET"] in made["PYTHONPATH"]


def test_home_of_the_user_wins(tmp_path: Path) -> None:
    assert sandbox_environment(attempt(tmp_path, environment={"HOME": "/data"}), {"HOME": "/data"})["HOME"] == "/data"


def test_overlay_is_the_interpreter_of_the_script_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAYLIFT_OVERLAY", "/envs/abc")
    assert interpreter(attempt(tmp_path)) == "/envs/abc/bin/python"
    assert interpreter(attempt(tmp_path, isolation="cluster")) == sys.executable
    assert sandbox_environment(attempt(tmp_path), {"PATH": "/bin"})["PATH"] == "/envs/abc/bin:/bin"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives users to jobs")
def test_each_running_job_has_another_user(tmp_path: Path) -> None:
    register = str(tmp_path / "users")
    first = reserve_user(1_000_000, 2, "job", register)
    assert first is not None
    assert 1_000_000 <= first.uid < 1_000_002
    child = os.fork()
    if child == 0:
        second = reserve_user(1_000_000, 2, "job", register)
        third = reserve_user(1_000_000, 0, "job", register)
        os._exit(int(second is None or second.uid == first.uid or third is not None))
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def test_python_in_a_closed_folder_is_left_to_its_owner(tmp_path: Path) -> None:
    python = tmp_path / "venv" / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.parents[1].chmod(0o755)
    assert not is_closed_python(str(python))
    python.parents[1].chmod(0o700)
    assert is_closed_python(str(python))
