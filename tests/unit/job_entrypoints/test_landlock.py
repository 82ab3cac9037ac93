"""Each restriction is tried in a process of its own: what Landlock refuses stays refused."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from job_entrypoints.linux.landlock import ABI_OF_SCOPES, ABI_OF_TCP, Ruleset, abi_version

pytestmark = pytest.mark.skipif(abi_version() == 0, reason="this kernel has no Landlock")
_INTERPRETER = (
    "/usr",
    "/lib",
    "/lib64",
    "/etc",
    "/dev",
    sys.prefix,
    sys.base_prefix,
    str(Path(sys.executable).resolve().parents[1]),
)


def _restricted(code: str, **pass_on: object) -> str:
    begin = "import os, sys, socket\nfrom job_entrypoints.linux.landlock import *\n"
    done = subprocess.run([sys.executable, "-c", begin + code], capture_output=True, text=True, check=False, **pass_on)  # type: ignore[call-overload]
    return done.stdout.strip() or done.stderr.strip()


def test_only_allowed_files_are_readable(tmp_path: Path) -> None:
    (tmp_path / "open").mkdir()
    (tmp_path / "open" / "file").write_text("seen")
    (tmp_path / "secret").write_text("secret")
    code = f"""
rules = Ruleset(); rules.allow_reading({[*_INTERPRETER, str(tmp_path / "open"), "/nowhere"]!r}); rules.restrict_self()
print(open({str(tmp_path / "open" / "file")!r}).read())
for path, mode in (({str(tmp_path / "secret")!r}, "r"), ({str(tmp_path / "open" / "new")!r}, "w")):
    try:
        open(path, mode); print("opened")
    except PermissionError:
        print("refused")
"""
    assert _restricted(code).split() == ["seen", "refused", "refused"]


def test_allowed_folder_takes_files_and_moves_them(tmp_path: Path) -> None:
    (tmp_path / "work" / "a").mkdir(parents=True)
    (tmp_path / "work" / "b").mkdir()
    code = f"""
rules = Ruleset(); rules.allow_writing([{str(tmp_path / "work")!r}]); rules.restrict_self()
os.chdir({str(tmp_path / "work")!r})
open("a/file", "w").write("x" * 10); os.rename("a/file", "b/file"); os.truncate("b/file", 3); os.symlink("b", "link")
print(os.path.getsize("b/file"))
"""
    assert _restricted(code) == "3"


def test_ruleset_of_ports_leaves_moves_between_folders_alone(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    code = f"""
rules = Ruleset(); rules.allow_writing([{str(tmp_path)!r}]); rules.restrict_self()
ports = Ruleset(files=False, connect=True); ports.allow_ports([80]); ports.restrict_self()
os.chdir({str(tmp_path)!r})
open("a/file", "w").write("moved"); os.rename("a/file", "b/file")
print(open("b/file").read())
"""
    assert _restricted(code) == "moved"


@pytest.mark.skipif(abi_version() < ABI_OF_TCP, reason="this kernel's Landlock knows no TCP")
def test_only_allowed_ports_can_be_connected() -> None:
    with socket.create_server(("127.0.0.1", 0)) as allowed, socket.create_server(("127.0.0.1", 0)) as other:
        ports = allowed.getsockname()[1], other.getsockname()[1]
        code = f"""
rules = Ruleset(files=False, connect=True); rules.allow_ports([{ports[0]}]); rules.restrict_self()
for port in {ports}:
    print(socket.socket().connect_ex(("127.0.0.1", port)))
"""
        assert _restricted(code).split() == ["0", "13"]


@pytest.mark.skipif(abi_version() < ABI_OF_SCOPES, reason="this kernel's Landlock has no scopes")
def test_process_outside_gets_no_signal() -> None:
    code = f"""
Ruleset(files=False, scoped=True).restrict_self()
child = os.fork()
if child == 0:
    os.pause() if hasattr(os, "pause") else __import__("signal").pause()
os.kill(child, 9); os.waitpid(child, 0); print("child")
try:
    os.kill({os.getpid()}, 0); print("outside")
except PermissionError:
    print("refused")
"""
    assert _restricted(code).split() == ["child", "refused"]


def test_inherited_ruleset_restricts_many_processes(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("secret")
    rules = Ruleset()
    rules.allow_reading(_INTERPRETER)
    code = f"""
restrict_self({rules.descriptor})
try:
    print(open({str(tmp_path / "secret")!r}).read())
except PermissionError:
    print("refused")
"""
    os.set_inheritable(rules.descriptor, True)
    try:
        seen = [_restricted(code, pass_fds=(rules.descriptor,)) for _ in range(2)]
    finally:
        rules.close()
    assert seen == ["refused", "refused"]
    assert (tmp_path / "secret").read_text() == "secret"
