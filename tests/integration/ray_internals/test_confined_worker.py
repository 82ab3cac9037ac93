"""A replica's process as our first step of a worker starts it, with decoys of the platform's files."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from job_entrypoints.linux.landlock import abi_version
from raylift.domain.models.replica import CANNOT_CONFINE, CONFINED_BY, CONFINEMENT, NOT_CONFINED, Confinement
from raylift.ray_internals import setup_worker
from raylift.ray_internals.start import SETUP_WORKER
from serve_apps.model_server.ray.confinement_check import require_confinement

SECRET = "a decoy"
WORKER = """
import json, os, sys, tempfile, threading
from pathlib import Path

def tried(work):
    try:
        return f"got {work()}"
    except OSError as error:
        return type(error).__name__

def in_a_thread(work):
    got = []
    thread = threading.Thread(target=lambda: got.append(tried(work)))
    thread.start()
    thread.join()
    return got[0]

state, session = map(Path, sys.argv[1:3])
status = Path("/proc/self/status").read_text()
found = {"status": status, "environ": dict(os.environ), "cwd": os.getcwd()}
if "NoNewPrivs:\\t1" in status:
    found["refused"] = [
        tried(lambda: (state / "raylift.db").read_text()),
        in_a_thread(lambda: (state / "raylift.db").read_text()),
        tried(lambda: (state / "ray-token").read_text()),
        tried(lambda: (state / "raylift.db").chmod(0o777)),
        tried(lambda: (session / "h" / "a.sock").read_text()),
        tried(lambda: Path("../../h/a.sock").read_text()),
        tried(lambda: (Path(__file__).with_name("beside")).write_text("x")),
        tried(lambda: Path(f"/proc/{os.getppid()}/environ").read_bytes()),
        tried(lambda: list((session / "t").iterdir())),
    ]
    found["allowed"] = [
        tried(lambda: (state / "environments" / "one" / "x.py").read_text()),
        tried(lambda: (state / "counters" / "one" / "c").write_text("x")),
        tried(lambda: (session / "r" / "session_1" / "logs" / "l").write_text("x")),
        tried(lambda: Path(tempfile.mkdtemp(), "t").write_text("x")),
    ]
print(json.dumps(found))
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


def started(places: tuple[Path, Path], confinement: Confinement | None, worker: Path, python: str = sys.executable) -> Any:
    state, session = places
    worker.write_text(WORKER)
    variables = {"RAYLIFT_X": "1"} if confinement is None else {CONFINEMENT: json.dumps(confinement.as_json())}
    command = [sys.executable, str(SETUP_WORKER), str(worker), str(state), str(session), "--language=PYTHON"]
    command += [f"--temp-dir={session / 'r'}", "--session-name=session_1"]
    context = {"env_vars": variables, "py_executable": python}
    command += [f"--serialized-runtime-env-context={json.dumps(context)}"]
    given = {**os.environ, "TMPDIR": str(session / "t"), "RAY_AUTH_TOKEN_PATH": str(state / "ray-token")}
    done = subprocess.run(command, env=given, cwd=session, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def confinement_for(places: tuple[Path, Path], worker: Path) -> Confinement:
    state, _ = places
    read = [str(state / "environments" / "one"), str(worker)]
    return Confinement([str(place) for place in places], read, [str(state / "counters" / "one")])


@pytest.mark.skipif(not abi_version(), reason="needs Landlock")
def test_replica_reaches_its_own_files_only(places: tuple[Path, Path], tmp_path: Path) -> None:
    worker = tmp_path / "worker.py"
    found = started(places, confinement_for(places, worker), worker)
    assert not [got for got in found["refused"] if got.startswith("got")]
    assert [got[:3] for got in found["allowed"]] == ["got"] * 4
    assert "CapEff:\t0000000000000000" in found["status"]
    assert "landlock" in found["environ"][CONFINED_BY]
    temp = found["environ"]["TMPDIR"]
    assert Path(temp).parent == places[1] / "t"
    assert found["environ"]["NUMBA_CACHE_DIR"].startswith(temp)
    # Ray's core has no other way to it, since its file is out of reach.
    assert found["environ"]["RAY_AUTH_TOKEN"] == SECRET
    assert (places[0] / "raylift.db").read_text() == SECRET


@pytest.mark.skipif(not abi_version(), reason="needs Landlock")
def test_replica_reads_the_environment_that_ray_made_for_it(places: tuple[Path, Path], tmp_path: Path) -> None:
    """As for the field ``uv``: it lies in Ray's session, which is closed otherwise."""
    environment, worker = places[1] / "r" / "session_1" / "runtime_resources" / "uv" / "1", tmp_path / "worker.py"
    (environment / "bin").mkdir(parents=True)
    (environment / "bin" / "python").symlink_to(sys.executable)
    found = started(places, confinement_for(places, worker), worker, str(environment / "bin" / "python"))
    assert found["environ"][CONFINED_BY]


def test_other_workers_are_not_confined(places: tuple[Path, Path], tmp_path: Path) -> None:
    found = started(places, None, tmp_path / "worker.py")
    assert "NoNewPrivs:\t0" in found["status"]
    assert CONFINED_BY not in found["environ"]
    assert found["environ"]["RAY_AUTH_TOKEN_PATH"] == str(places[0] / "ray-token")


def test_replica_that_cannot_be_confined_loads_nothing_and_says_why() -> None:
    environ = {
        CONFINEMENT: json.dumps(Confinement(["/state"]).as_json()),
        NOT_CONFINED: "no Landlock here",
        "RAY_AUTH_TOKEN": "t",
    }
    with pytest.raises(RuntimeError, match=f"{CANNOT_CONFINE}: no Landlock here."):
        require_confinement(environ)
    assert "RAY_AUTH_TOKEN" not in environ
    by_hand = {CONFINEMENT: json.dumps(Confinement(["/state"], required=True).as_json())}
    with pytest.raises(RuntimeError, match="was not started by Raylift"):
        require_confinement(by_hand)
    require_confinement({CONFINEMENT: json.dumps(Confinement(["/state"]).as_json())})
    require_confinement({CONFINED_BY: "landlock"})
    require_confinement({})


def test_words_of_the_first_step_are_those_of_the_domain() -> None:
    assert (setup_worker.CONFINEMENT, setup_worker.CONFINED, setup_worker.NOT_CONFINED) == (
        CONFINEMENT,
        CONFINED_BY,
        NOT_CONFINED,
    )
