"""A sandboxed script reaches its own work and nothing else. What it tries to reach here are decoys that the tests made."""

from __future__ import annotations

import json
import os
import pwd
import shutil
import socket
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from job_entrypoints.linux.landlock import ABI_OF_SCOPES, abi_version

pytestmark = pytest.mark.skipif(abi_version() < ABI_OF_SCOPES, reason="this kernel's Landlock cannot confine all of it")

TRY = """
import errno, json, os, socket
def attempt(step):
    try:
        return step() or "done"
    except OSError as error:
        return "refused" if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS) else type(error).__name__
def reads(path):
    return attempt(lambda: open(path).read())
def connects(port):
    return attempt(lambda: socket.create_connection(("127.0.0.1", port), 5).close())
"""


@pytest.fixture
def state_dir() -> Iterator[Path]:
    """Not below pytest's own folder, which is closed to other users all the way."""
    folder = Path(tempfile.mkdtemp(prefix="rl-sandbox-"))
    yield folder
    shutil.rmtree(folder)


@pytest.fixture
def tmp_path(state_dir: Path) -> Path:
    """The attempts' folder of ``make_attempt``."""
    attempts = state_dir / "attempts"
    attempts.mkdir(mode=0o700)
    return attempts


@pytest.fixture
def sandboxed(run: Callable[..., Any], state_dir: Path) -> Callable[..., Any]:
    """Run a script in a sandbox. Returns the result of the wrapper."""

    def result(source: str, **overrides: Any) -> Any:
        record = {
            "isolation": "sandbox",
            "network": "full",
            "protected_paths": [str(state_dir)],
            "refused_ports": "20000-31999",
            "job_users": [1_900_000_000, 1000],
        }
        return run(source, **record | overrides)

    return result


def told(result: Any) -> Any:
    assert result.progress["outcome"] == "exited", result.output
    return json.loads(result.output.splitlines()[-1])


def test_script_reads_no_file_of_the_platform(sandboxed: Callable[..., Any], state_dir: Path) -> None:
    (state_dir / "raylift.db").write_text("secret")
    other = state_dir / "attempts" / "job_other-a1"
    (other / "work").mkdir(parents=True)
    (other / "attempt.json").write_text("secret")
    (other / "work" / "data").write_text("secret")
    source = f"""
{TRY}
own = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
paths = [{str(state_dir / "raylift.db")!r}, {str(other / "attempt.json")!r}, {str(other / "work" / "data")!r}]
paths += [own + "/attempt.json", own + "/progress.json", f"/proc/{{os.getppid()}}/environ", f"/proc/{{os.getppid()}}/mem"]
print(json.dumps([reads(path) for path in paths]))
"""
    refused = told(sandboxed(source))
    assert len(refused) == 7
    assert set(refused) <= {"refused", "FileNotFoundError"}


def test_script_writes_only_into_its_own_folders(sandboxed: Callable[..., Any], state_dir: Path) -> None:
    outside = state_dir / "outside"
    outside.mkdir(mode=0o777)
    outside.chmod(0o777)
    source = f"""
{TRY}
import tempfile
own = os.path.abspath(__file__)
writes = lambda path: attempt(lambda: open(path, "w").close())
with tempfile.NamedTemporaryFile() as temporary, open("/dev/shm/rl-" + str(os.getpid()), "w") as shared:
    os.unlink(shared.name)
print(json.dumps([writes("here"), writes(os.path.expanduser("~/there")), writes(own), writes({str(outside / "x")!r})]))
"""
    here, there, *refused = told(sandboxed(source))
    assert (here, there) == ("done", "done")
    assert set(refused) <= {"refused", "FileNotFoundError"}
    assert list(outside.iterdir()) == []


def test_slash_tmp_is_the_jobs_own(sandboxed: Callable[..., Any]) -> None:
    result = sandboxed("", command="echo kept > /tmp/rl-attack-$$ && cat /tmp/rl-attack-$$; ls /tmp", args=[])
    if "mount namespace" in result.progress["usage"]["isolated_by"]:
        assert "kept" in result.output
    assert not list(Path("/tmp").glob("rl-attack-*"))


def test_long_temporary_directory_has_a_short_name(sandboxed: Callable[..., Any], state_dir: Path) -> None:
    source = """
import json, os, tempfile
with tempfile.NamedTemporaryFile() as file:
    print(json.dumps([len(os.environ["TMPDIR"]) < 40, os.path.samefile(os.path.dirname(file.name), os.environ["TMPDIR"])]))
"""
    result = sandboxed(source)
    assert len(str(result.directory)) > 70
    assert told(result) == [True, True]
    assert not [path for path in Path("/tmp").glob("rl-*") if path.is_symlink() and str(state_dir) in str(path.readlink())]


def test_script_changes_no_mode_of_files_outside(sandboxed: Callable[..., Any]) -> None:
    outside = Path(tempfile.mkdtemp(prefix="rl-decoy-"))
    try:
        outside.chmod(0o755)
        (outside / "file").write_text("x")
        source = f"""
{TRY}
path = {str(outside / "file")!r}
ways = [lambda: os.chmod(path, 0), lambda: os.utime(path, (1, 1)), lambda: os.link(path, "here")]
ways += [lambda: os.setxattr(path, "user.a", b"b")]
open("own", "w").close()
os.chmod("own", 0o600)
print(json.dumps([attempt(way) for way in ways]))
"""
        # As root it is another user's file; in a sandbox of the same user it is on a read-only file system.
        users = [1_900_000_000, 1000], [0, 0]
        for job_users in users:
            assert "done" not in told(sandboxed(source, job_users=job_users, readable_paths=[str(outside)]))
        assert (outside / "file").stat().st_mode & 0o777 == 0o644
    finally:
        shutil.rmtree(outside)


def test_script_sends_no_signal_to_its_wrapper(sandboxed: Callable[..., Any]) -> None:
    result = sandboxed("import os, signal\nos.kill(os.getppid(), signal.SIGKILL)")
    assert (result.progress["outcome"], result.progress["exit_code"]) == ("exited", 1)
    assert "PermissionError" in result.progress["message"]


def test_script_reaches_every_port_but_the_platforms(sandboxed: Callable[..., Any]) -> None:
    with _server(range(20_001, 31_999, 7)) as refused, _server([0]) as other:
        ports = [refused.getsockname()[1], other.getsockname()[1]]
        source = f"""
{TRY}
listener = socket.create_server(("127.0.0.1", 0))
own = listener.getsockname()[1]
ways = [attempt(lambda: socket.socket().sendto(b"x", socket.MSG_FASTOPEN, ("127.0.0.1", {ports[0]})) and None),
        attempt(lambda: socket.socket(socket.AF_INET, socket.SOCK_STREAM, 262).connect(("127.0.0.1", {ports[0]})))]
print(json.dumps([connects({ports[0]}), *ways, connects({ports[1]}), connects(own)]))
"""
        assert told(sandboxed(source)) == ["refused", "refused", "OSError", "done", "done"]


def test_network_of_mlflow_only_reaches_mlflow_only(sandboxed: Callable[..., Any]) -> None:
    with _server([0]) as mlflow, _server([0]) as other:
        ports = mlflow.getsockname()[1], other.getsockname()[1]
        source = f"""
{TRY}
print(json.dumps([connects({ports[0]}), connects({ports[1]}), attempt(lambda: socket.socket(type=socket.SOCK_DGRAM).close())]))
"""
        limited = told(sandboxed(source, network="mlflow-only", mlflow_url=f"http://127.0.0.1:{ports[0]}"))
        none = told(sandboxed(source, network="none", mlflow_url=f"http://127.0.0.1:{ports[0]}"))
    assert limited == ["done", "refused", "refused"]
    assert set(none[:2]) <= {"refused", "ConnectionRefusedError"}


def test_processes_of_a_script_without_network_reach_each_other(sandboxed: Callable[..., Any]) -> None:
    with _server([0]) as other:
        source = f"""
{TRY}
listener = socket.create_server(("127.0.0.1", 0))
own = listener.getsockname()[1]
names = [name for _, name in socket.if_nameindex()]
child = os.fork()
if child == 0:
    os._exit(connects(own) != "done")
print(json.dumps([os.waitpid(child, 0)[1], connects({other.getsockname()[1]}), names]))
"""
        result = sandboxed(source, network="none")
    if "network namespace" in result.progress["usage"]["isolated_by"]:
        assert told(result) == [0, "ConnectionRefusedError", ["lo"]]
    else:
        assert "PermissionError" in result.progress["message"]


def test_refused_connection_says_what_works_instead(sandboxed: Callable[..., Any]) -> None:
    source = "import socket\nserver = socket.create_server(('127.0.0.1', 0))\nsocket.create_connection(server.getsockname())"
    result = sandboxed(source, network="mlflow-only")
    assert "pipes and Unix sockets work" in result.progress["message"]


def test_usage_names_the_mechanisms_that_held(sandboxed: Callable[..., Any], run: Callable[..., Any]) -> None:
    held = sandboxed("pass").progress["usage"]["isolated_by"]
    assert {"landlock", "no_new_privs", "seccomp"} <= set(held)
    assert ("uid" in held) == (os.geteuid() == 0)
    assert run("pass").progress["usage"]["isolated_by"] == []


def test_platform_that_closes_new_files_for_others_runs_scripts(sandboxed: Callable[..., Any]) -> None:
    mask = os.umask(0o077)
    try:
        assert told(sandboxed("import json; print(json.dumps('ran'))")) == "ran"
    finally:
        os.umask(mask)


def test_script_has_no_capability_and_nothing_of_the_platform(sandboxed: Callable[..., Any]) -> None:
    source = """
import json, os
status = dict(line.split(":", 1) for line in open("/proc/self/status"))
named = [name for name in os.environ if name.startswith(("RAY_", "RAYLIFT_"))]
print(json.dumps([[int(status[name], 16) for name in ("CapEff", "CapPrm", "CapBnd", "CapAmb")], sorted(named)]))
"""
    capabilities, named = told(sandboxed(source))
    assert capabilities[:2] == [0, 0]
    assert os.geteuid() != 0 or not any(capabilities)
    assert set(named) <= {"RAYLIFT_JOB_ID", "RAYLIFT_SUBMISSION_ID", "RAYLIFT_INSTANCE"}


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_multiprocessing_works_in_the_sandbox(sandboxed: Callable[..., Any], method: str) -> None:
    source = f"""
import json, multiprocessing
from multiprocessing import shared_memory
if __name__ == "__main__":
    memory = shared_memory.SharedMemory(create=True, size=64)
    with multiprocessing.get_context({method!r}).Pool(2) as pool:
        print(json.dumps(pool.map(abs, [-1, -2])))
    memory.close(); memory.unlink()
"""
    assert told(sandboxed(source)) == [1, 2]


def test_installed_packages_go_into_the_jobs_folder(sandboxed: Callable[..., Any]) -> None:
    source = """
import json, os, sys
target = os.environ["PIP_TARGET"]
open(target + "/made_by_pip.py", "w").write("VALUE = 3")
import made_by_pip
print(json.dumps([made_by_pip.VALUE, target.startswith(os.environ["TMPDIR"]) or os.path.islink(os.environ["TMPDIR"])]))
"""
    assert told(sandboxed(source)) == [3, True]


def test_ray_init_says_how_to_get_to_ray(sandboxed: Callable[..., Any]) -> None:
    result = sandboxed("import ray\nray.init()")
    assert result.progress["exit_code"] == 1
    assert "--isolation cluster" in result.progress["message"]


def test_shell_command_is_confined_too(sandboxed: Callable[..., Any], state_dir: Path) -> None:
    (state_dir / "raylift.db").write_text("secret")
    result = sandboxed("", command=f"cat {state_dir}/raylift.db || echo refused; echo $$ > pid && cat pid", args=[])
    assert "secret" not in result.output
    assert "refused" in result.output
    assert result.progress["exit_code"] == 0


def test_message_of_a_closed_file_names_the_setting(sandboxed: Callable[..., Any], state_dir: Path) -> None:
    (state_dir / "table.csv").write_text("a,b")
    result = sandboxed(f"import pandas as pd\npd.read_csv({str(state_dir / 'table.csv')!r})")
    assert "jobs.readable_paths" in result.progress["message"]


def test_named_folders_are_readable_and_writable(sandboxed: Callable[..., Any]) -> None:
    data, results = Path(tempfile.mkdtemp(prefix="rl-data-")), Path(tempfile.mkdtemp(prefix="rl-results-"))
    try:
        (data / "table.csv").write_text("a,b")
        data.chmod(0o755)
        results.chmod(0o777)
        source = f"""
{TRY}
wrote = attempt(lambda: open({str(results / "x")!r}, "w").close())
print(json.dumps([reads({str(data / "table.csv")!r}), wrote, attempt(lambda: open({str(data / "x")!r}, "w").close())]))
"""
        answers = told(sandboxed(source, readable_paths=[str(data)], writable_paths=[str(results)]))
        assert answers == ["a,b", "done", "refused"]
    finally:
        shutil.rmtree(data)
        shutil.rmtree(results)


def _server(ports: Any) -> socket.socket:
    for port in ports:
        try:
            return socket.create_server(("127.0.0.1", port))
        except OSError:
            continue
    raise AssertionError("no port is free")


def test_user_of_the_script_has_a_name(sandboxed: Callable[..., Any]) -> None:
    source = """
import json, os, pwd
user = pwd.getpwuid(os.getuid())
print(json.dumps([user.pw_name, os.access(user.pw_dir, os.W_OK)]))
"""
    assert told(sandboxed(source)) == ["job" if os.geteuid() == 0 else pwd.getpwuid(os.geteuid()).pw_name, True]


LIBRARIES = """
import json, os, pathlib, shutil, sqlite3, tempfile
import joblib, matplotlib, numpy as np
from sklearn.ensemble import RandomForestClassifier
from sklearn.model_selection import cross_val_score
matplotlib.use("Agg")
import matplotlib.pyplot as plt

def square(number):
    return number * number

x = np.random.default_rng(0).normal(size=(60, 3))
plt.plot(x[:, 0])
plt.savefig("curve.png")
os.makedirs("a"); os.makedirs("b")
pathlib.Path("a/file").write_text("moved")
os.rename("a/file", "b/file")
with tempfile.NamedTemporaryFile("w", delete=False) as written:
    written.write("from tmp")
shutil.move(written.name, "b/from_tmp")
with sqlite3.connect("data.db") as database:
    database.execute("create table t (n int)")
shared = np.memmap(f"/dev/shm/rl-{os.getpid()}", mode="w+", shape=(4,))
os.unlink(shared.filename)
scores = cross_val_score(RandomForestClassifier(10, n_jobs=2), x, x[:, 0] > 0, cv=2, n_jobs=2)
print(json.dumps([
    os.path.getsize("curve.png") > 1000,
    pathlib.Path("b/file").read_text() + pathlib.Path("b/from_tmp").read_text(),
    joblib.Parallel(2, backend="loky")(joblib.delayed(square)(n) for n in range(3)),
    len(scores),
    pathlib.Path.home().joinpath(".cache").exists() or os.access(pathlib.Path.home(), os.W_OK),
]))
"""


def test_libraries_work_in_the_sandbox(sandboxed: Callable[..., Any]) -> None:
    assert told(sandboxed(LIBRARIES)) == [True, "movedfrom tmp", [0, 1, 4], 2, True]
