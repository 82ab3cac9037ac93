"""The process of a replica's model as the first step of the replica's worker starts it, with decoys of the platform's files."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from job_entrypoints.linux.landlock import ABI_OF_TCP, abi_version
from job_entrypoints.sandbox import model_process
from raylift.domain.models import replica
from raylift.domain.models.replica import CONFINED_BY, MODEL_PROCESS, Confinement, ModelProcess
from raylift.ray_internals import setup_worker
from raylift.ray_internals.start import SETUP_WORKER

SECRET = "a decoy"
WORKER = """
import json, os
from pathlib import Path
from job_entrypoints.sandbox.model_process import Started

started = Started.of(os.environ["RAYLIFT_STARTED_MODEL"])
os.waitpid(started.pid, 0)
model = json.loads(os.pread(started.output, 100_000, 0))
found = {"status": Path("/proc/self/status").read_text(), "environ": dict(os.environ)}
print(json.dumps({"worker": found, "model": model}))
"""
MODEL = """#!{python}
import json, os, signal, socket, sys, tempfile, threading
from pathlib import Path

state, session, port = Path({state!r}), Path({session!r}), {port}
worker = os.getppid()

def tried(work):
    try:
        return f"got {{work()}}"
    except OSError as error:
        return type(error).__name__

def in_a_thread(work):
    got = []
    thread = threading.Thread(target=lambda: got.append(tried(work)))
    thread.start()
    thread.join()
    return got[0]

def connected(number):
    with socket.create_connection(("127.0.0.1", number), 5):
        return "connected"

status = Path("/proc/self/status").read_text()
found = {{"status": status, "environ": dict(os.environ), "cwd": os.getcwd(), "argv": sys.argv[1:]}}
numbers = [int(name) for name in os.listdir("/proc/self/fd")]  # one of them is the listing's own, closed by now
found["descriptors"] = sorted(number for number in numbers if number > 2 and os.path.exists(f"/proc/self/fd/{{number}}"))
if "NoNewPrivs:\\t1" in status:
    found["refused"] = [
        tried(lambda: (state / "raylift.db").read_text()),
        in_a_thread(lambda: (state / "raylift.db").read_text()),
        tried(lambda: (state / "ray-token").read_text()),
        tried(lambda: (state / "raylift.db").chmod(0o777)),
        tried(lambda: (session / "h" / "a.sock").read_text()),
        tried(lambda: (session / "r" / "session_1" / "logs" / "raylet.out").read_text()),
        tried(lambda: Path("../../h/a.sock").read_text()),
        tried(lambda: (Path(__file__).with_name("beside")).write_text("x")),
        tried(lambda: Path(f"/proc/{{worker}}/environ").read_bytes()),
        tried(lambda: Path(f"/proc/{{worker}}/maps").read_bytes()),
        tried(lambda: os.open(f"/proc/{{worker}}/mem", os.O_RDONLY)),
        tried(lambda: os.readlink(f"/proc/{{worker}}/fd/1")),
        tried(lambda: list((session / "t").iterdir())),
    ]
    found["signal"] = tried(lambda: os.kill(worker, signal.SIGCONT))
    found["port"] = tried(lambda: connected(port))
    found["allowed"] = [
        tried(lambda: (state / "environments" / "one" / "x.py").read_text()),
        tried(lambda: (state / "counters" / "one" / "c").write_text("x")),
        tried(lambda: Path(tempfile.mkdtemp(), "t").write_text("x")),
    ]
print(json.dumps(found), flush=True)
"""


@pytest.fixture
def places(tmp_path: Path) -> tuple[Path, Path]:
    """State and session directories with decoys."""
    state, session = tmp_path / "state", tmp_path / "session"
    for path in ("raylift.db", "ray-token", "environments/one/x.py", "environments/two/y.py"):
        (state / path).parent.mkdir(parents=True, exist_ok=True)
        (state / path).write_text(SECRET)
    for path in ("h/a.sock", "r/session_1/logs/raylet.out", "t/raylift-model-other/model.pkl"):
        (session / path).parent.mkdir(parents=True, exist_ok=True)
        (session / path).write_text(SECRET)
    return state, session


def started(places: tuple[Path, Path], confinement: Confinement | None, variables: dict[str, str], port: int = 1) -> Any:
    """Findings of the worker and of the model, which is a program in the place of its environment's Python."""
    state, session = places
    python = session / "r" / "session_1" / "uv" / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.write_text(MODEL.format(python=sys.executable, state=str(state), session=str(session), port=port))
    python.chmod(0o755)
    worker = session.parent / "worker.py"
    worker.write_text(WORKER)
    asked = ModelProcess("m:1", variables, confinement, threads=3)
    context = {"env_vars": {MODEL_PROCESS: asked.as_text(), "PASSED_ON": "1"}, "py_executable": str(python)}
    command = [sys.executable, str(SETUP_WORKER), str(worker), "--language=PYTHON"]
    command += [f"--serialized-runtime-env-context={json.dumps(context)}"]
    rays = {"RAY_AUTH_TOKEN": "t", "RAY_AUTH_TOKEN_PATH": str(state / "ray-token"), "RAY_ADDRESS": "127.0.0.1:1"}
    given = {name: value for name, value in os.environ.items() if name != "OMP_NUM_THREADS"}
    given |= {"TMPDIR": str(session / "t"), **rays}
    done = subprocess.run(command, env=given, cwd=session, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def confinement_for(places: tuple[Path, Path], ports: str = "") -> Confinement:
    state, _ = places
    return Confinement(
        [str(place) for place in places], [str(state / "environments" / "one")], [str(state / "counters" / "one")], ports
    )


@pytest.mark.skipif(not abi_version(), reason="needs Landlock")
def test_model_reaches_its_own_files_only(places: tuple[Path, Path]) -> None:
    """Its environment, too, which Ray has made in its session by the field ``uv``."""
    model = started(places, confinement_for(places), {})["model"]
    assert not [got for got in model["refused"] if got.startswith("got")]
    assert [got[:3] for got in model["allowed"]] == ["got"] * 3
    assert "CapEff:\t0000000000000000" in model["status"]
    assert "landlock" in model["environ"][CONFINED_BY]
    temp = model["environ"]["TMPDIR"]
    assert Path(temp).parent == places[1] / "t"
    assert model["cwd"] == temp
    assert model["environ"]["NUMBA_CACHE_DIR"].startswith(temp)
    assert (places[0] / "raylift.db").read_text() == SECRET


@pytest.mark.skipif(abi_version() < ABI_OF_TCP, reason="needs Landlock's rules of ports")
def test_model_reaches_no_port_of_the_platform(places: tuple[Path, Path]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as api:
        port = api.getsockname()[1]
        assert started(places, confinement_for(places, f"1-9,{port}"), {}, port)["model"]["port"] == "PermissionError"


@pytest.mark.skipif(abi_version() < 6, reason="needs Landlock's scopes")
def test_model_sends_no_signal_to_its_replica(places: tuple[Path, Path]) -> None:
    assert started(places, confinement_for(places), {})["model"]["signal"] == "PermissionError"


def test_model_inherits_nothing_of_ray(places: tuple[Path, Path]) -> None:
    found = started(places, None, {"LD_BIND_NOW": "$HOME", "PATH": "/usr/bin"})
    model, worker = found["model"], found["worker"]
    assert [name for name in model["environ"] if name.startswith("RAY_")] == []
    assert model["descriptors"] == sorted(map(int, model["environ"][model_process.DESCRIPTORS].split(",")))
    assert model["environ"]["PASSED_ON"] == "1"
    assert (model["environ"]["LD_BIND_NOW"], model["environ"]["OMP_NUM_THREADS"]) == ("$HOME", "3")
    assert model["argv"] == ["-P", "-m", "serve_apps.model_server.process", "m:1"]
    # The worker keeps Ray's, and gets none of the version's own: they may make it run other code.
    assert worker["environ"]["RAY_AUTH_TOKEN"] == "t"
    assert "LD_BIND_NOW" not in worker["environ"]
    assert "NoNewPrivs:\t0" in worker["status"]


def test_replica_s_worker_starts_in_the_base() -> None:
    """The environment's packages may run code when an interpreter starts."""
    context = {"env_vars": {MODEL_PROCESS: "{}"}, "py_executable": "/overlay/bin/python"}
    known = setup_worker.worker_command(
        ["w.py", "--language=PYTHON", f"--serialized-runtime-env-context={json.dumps(context)}"]
    )
    assert known is not None
    assert known[1] == ["bash", "-c", f"exec {sys.executable} w.py"]


def test_words_of_the_first_step_are_those_of_the_domain() -> None:
    assert setup_worker.MODEL_PROCESS == replica.MODEL_PROCESS
    assert (model_process.CONFINED, model_process.NOT_CONFINED) == (CONFINED_BY, replica.NOT_CONFINED)
