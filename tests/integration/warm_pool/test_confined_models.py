"""A model's code in a warm process: what it reaches, and what is loaded. The real MLflow server, confined as well.

The model first checks that it is confined, and acts on decoys only.
"""

from __future__ import annotations

import json
import os
import socket
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import mlflow
import numpy as np
import pytest
import pytest_asyncio
from sklearn.linear_model import LogisticRegression

from raylift.domain.models.deployment import Deployment
from raylift.engines.model_files.digests import file_digests
from serve_apps.model_server.loading.loader import load_model
from serve_apps.warm_pool.pool import NoWarmProcess
from tests.integration.mlflow_server import MlflowServer, mlflow_server
from tests.integration.model_server.replicas import Registry, log_function, log_sklearn
from tests.integration.warm_pool.conftest import Warm, deployment_of, running_pool

SECRET = "a decoy"
DECOY = Path(tempfile.gettempdir(), f"decoy-{os.getpid()}")

own_loop = pytest.mark.asyncio(loop_scope="module")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MlflowServer]:
    with mlflow_server(tmp_path_factory.mktemp("platform")) as started:
        yield started
    mlflow.set_tracking_uri("")


@pytest.fixture(scope="module")
def models(server: MlflowServer, tmp_path_factory: pytest.TempPathFactory) -> Registry:
    return Registry(server.url, tmp_path_factory.mktemp("models"))


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def pool(server: MlflowServer) -> AsyncIterator[Warm]:
    async with running_pool(server.state_dir, server.url, session_dir=server.session_dir, isolation="best") as warm:
        yield warm


def attack(model_input):  # pyright: ignore[reportUnknownParameterType, reportMissingParameterType] - MLflow reads hints
    """Tries what its input says, and returns what it got."""
    import os
    import signal
    import socket
    import threading
    from pathlib import Path

    if "NoNewPrivs:\t1" not in Path("/proc/self/status").read_text():
        raise RuntimeError("not confined: nothing is tried")

    def connect(path):  # pyright: ignore[reportUnknownParameterType, reportMissingParameterType]
        with socket.socket(socket.AF_UNIX) as opened:
            opened.connect(path)
            return "connected"

    def in_a_thread(path):  # pyright: ignore[reportUnknownParameterType, reportMissingParameterType]
        got = []
        thread = threading.Thread(target=lambda: got.append(tried("read", path)))
        thread.start()
        thread.join()
        if not got[0].startswith("got"):
            raise OSError(got[0])
        return got[0]

    ways = {
        "read": lambda path: Path(path).read_text(),
        "list": os.listdir,
        "write": lambda path: Path(path).write_text("overwritten"),
        "chmod": lambda path: Path(path).chmod(0o777),
        "temp": lambda name: Path(os.environ["TMPDIR"], name).write_text("overwritten"),
        "unlink": os.unlink,
        "connect": connect,
        "thread": in_a_thread,
        "environ": lambda pid: Path(f"/proc/{pid}/environ").read_bytes(),
        "memory": lambda pid: os.open(f"/proc/{pid}/mem", os.O_RDONLY),
        "cwd": lambda pid: list(Path(f"/proc/{pid}/cwd").iterdir()),
        "signal": lambda pid: os.kill(int(pid), signal.SIGCONT),
    }

    def tried(way, target):  # pyright: ignore[reportUnknownParameterType, reportMissingParameterType]
        try:
            return f"got {ways[way](target)!r}"
        except OSError as error:
            return type(error).__name__

    return [tried(*row.split(" ", 1)) for row in model_input["text"]]


@pytest.fixture(scope="module")
def attacker(models: Registry) -> Deployment:
    models.register("attacker", log_function, python_model=attack, input_example=None)
    return deployment_of("attacker")


async def outcome(warm: Warm, deployment: Deployment, *tries: str) -> list[str]:
    rows = json.dumps({"inputs": [{"text": each} for each in tries]}).encode()
    status, body = await warm.answer(deployment, rows)
    assert status == 200, body
    return json.loads(body)["predictions"]


@own_loop
async def test_model_reaches_no_file_of_the_platform(server: MlflowServer, pool: Warm, attacker: Deployment) -> None:
    decoys = [server.state_dir / name for name in ("raylift.db", "ray-token", "attempts/job-a1/attempt.json")]
    decoys += [server.session_dir / "h" / "ingress", server.session_dir / "t" / "raylift-model-other" / "model.pkl"]
    for decoy in decoys:
        decoy.parent.mkdir(parents=True, exist_ok=True)
        decoy.write_text(SECRET)
    mode = decoys[0].stat().st_mode
    tries = [f"{way} {decoy}" for decoy in decoys for way in ("read", "write", "chmod", "unlink", "thread")]
    found = await outcome(pool, attacker, *tries)
    assert [got for got in found if got.startswith("got") and SECRET not in got] == []
    assert not [got for got in found if SECRET in got]
    assert {decoy.read_text() for decoy in decoys} == {SECRET}
    assert decoys[0].stat().st_mode == mode


@own_loop
async def test_model_changes_no_file_of_the_machine(pool: Warm, attacker: Deployment, tmp_path: Path) -> None:
    import raylift

    decoy = tmp_path / "decoy"
    decoy.write_text(SECRET)
    beside = Path(raylift.__file__).with_name("decoy_of_a_test.py")
    tries = [f"read {decoy}", f"write {decoy}", f"chmod {decoy}", f"unlink {decoy}", f"write {beside}", "read /etc/shadow"]
    found = await outcome(pool, attacker, *tries)
    assert not [got for got in found if got.startswith("got")]
    assert decoy.read_text() == SECRET
    assert not beside.exists()


@own_loop
async def test_model_reaches_no_socket_and_no_process(server: MlflowServer, pool: Warm, attacker: Deployment) -> None:
    (server.session_dir / "h").mkdir(exist_ok=True)
    path = server.session_dir / "h" / "a.sock"
    with socket.socket(socket.AF_UNIX) as haproxy:
        haproxy.bind(str(path))
        haproxy.listen()
        other = os.getpid()
        tries = [f"connect {path}", f"environ {other}", f"memory {other}", f"cwd {other}", f"signal {other}"]
        found = await outcome(pool, attacker, *tries)
    assert not [got for got in found if got.startswith("got")]


@own_loop
async def test_model_has_its_own_temporary_files(pool: Warm, attacker: Deployment) -> None:
    shared = Path("/dev/shm") / f"decoy-{os.getpid()}"
    try:
        assert await outcome(pool, attacker, f"write {shared}", "temp decoy") == ["got 11", "got 11"]
    finally:
        shared.unlink(missing_ok=True)


@own_loop
async def test_changed_file_is_refused_and_named(server: MlflowServer, models: Registry, pool: Warm) -> None:
    rows = np.random.default_rng(1).random((20, 2))
    model = LogisticRegression().fit(rows, rows[:, 0] > 0.5)
    models.register("honest", log_sklearn, model, serialization_format="cloudpickle")
    deployment = deployment_of("honest")
    registered = deployment.files
    assert registered is not None
    body = json.dumps({"inputs": rows[:2].tolist()}).encode()
    assert (await pool.answer(deployment, body))[0] == 200

    (pickle,) = server.files.artifacts.rglob("model.pkl")
    before = pickle.read_bytes()
    pickle.write_bytes(b"cos\nsystem\n(S'touch %s'\ntR." % str(DECOY).encode())
    changed = deployment_of("honest", generation=2, files=registered)
    with pytest.raises(NoWarmProcess, match=r"honest version 1 is not as it was registered.*model\.pkl changed"):
        await pool.pid(changed)
    with pytest.raises(RuntimeError, match=r"model\.pkl changed\. Register the model as a new version"):
        load_model("honest", "1", "models:/honest/1", server.url, registered)
    assert not os.path.exists(DECOY), "nothing of the changed file was run"  # noqa: PTH110, ASYNC240

    pickle.write_bytes(before)
    (added := pickle.with_name("code") / "sitecustomize.py").parent.mkdir()
    added.write_text("")
    with pytest.raises(RuntimeError, match=r"code/sitecustomize\.py added"):
        load_model("honest", "1", "models:/honest/1", server.url, registered)
    added.unlink()
    assert file_digests("models:/honest/1", server.url) == registered
    assert load_model("honest", "1", "models:/honest/1", server.url, registered).name == "honest"
