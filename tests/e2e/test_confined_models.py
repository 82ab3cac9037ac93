"""A model's code in the processes of a real platform: what it reaches, and a file that was changed after the registration.

The model first checks that it is confined, and acts on decoys only.
"""

from __future__ import annotations

import os
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from raylift import Client
from raylift.launcher.local_platform import LocalPlatform

SECRET = "a decoy"
SCRIPT = '''
import mlflow

class Attacks(mlflow.pyfunc.PythonModel):
    """Tries what its input says, and returns what it got."""

    def predict(self, context, model_input, params=None):
        import os, socket
        from pathlib import Path

        if "NoNewPrivs:\\t1" not in Path("/proc/self/status").read_text():
            raise RuntimeError("not confined: nothing is tried")

        def connect(path):
            with socket.socket(socket.AF_UNIX) as opened:
                opened.connect(path)

        ways = {
            "where": lambda _: os.environ.get("RAYLIFT_CONFINED_BY", "a warm process"),
            "read": lambda path: Path(path).read_text(errors="replace")[:80],
            "write": lambda path: Path(path).write_text("overwritten"),
            "chmod": lambda path: Path(path).chmod(0o777),
            "list": lambda path: os.listdir(path),
            "connect": connect,
            "environ": lambda pid: Path(f"/proc/{pid}/environ").read_bytes()[:80],
            "variable": lambda name: os.environ[name],
        }

        def tried(way, target):
            try:
                return f"got {ways[way](target)}"
            except (OSError, KeyError) as error:
                return type(error).__name__

        return [tried(*row.split(" ", 1)) for row in model_input["text"]]

with mlflow.start_run():
    mlflow.pyfunc.log_model(name="model", python_model=Attacks())
'''


@pytest.fixture(scope="module")
def attacker(platform: LocalPlatform) -> Iterator[str]:
    """Name of a model with one version, which has a replica."""
    name = f"attacker-{uuid.uuid4().hex[:6]}"
    with Client(platform.url) as client:
        job = client.train(script_content=SCRIPT, model=name, cpus=0.5, memory="1GiB")
        job.wait(240, progress=False)
        client.deployments.wait(name, job.model_version or "", timeout=240)
        client.deployments.put(name, "1", min_replicas=1)
        end = time.monotonic() + 240
        while not outcome(client, name, "where -")[0].startswith("got capabilities"):
            assert time.monotonic() < end, client.deployments.get(name, "1")
            time.sleep(0.5)
        yield name
        client.deployments.delete(name, "1")


def outcome(client: Client, name: str, *tries: str) -> list[str]:
    return client.predict(name, {"text": list(tries)}).predictions


def attempts(record_state: Path) -> list[str]:
    return [str(path) for path in record_state.glob("attempts/*/*") if path.is_file()][:3]


def test_replica_reaches_no_file_of_the_platform(
    platform: LocalPlatform, client: Client, attacker: str, tmp_path: Path
) -> None:
    record = platform.record
    decoy = tmp_path / "decoy"
    decoy.write_text(SECRET)
    in_state = record.state_dir / "decoy-of-a-test"
    in_state.write_text(SECRET)
    mode = in_state.stat().st_mode
    tries = [f"read {path}" for path in (record.state_dir / "raylift.db", record.ray_token_file, *attempts(record.state_dir))]
    tries += [f"read {record.session_dir / 'ingress-rules'}", f"list {record.state_dir / 'mlflow'}", "read /etc/shadow"]
    tries += [f"{way} {path}" for path in (decoy, in_state) for way in ("read", "write", "chmod")]
    tries += [f"connect {path}" for path in record.session_dir.glob("h/**/*.sock")]
    tries += [
        f"environ {record.pids['raylet']}",
        f"environ {os.getpid()}",
        "variable RAY_AUTH_TOKEN",
        "variable RAY_AUTH_TOKEN_PATH",
    ]
    assert len(tries) >= 15
    assert [
        f"{one}: {got}" for one, got in zip(tries, outcome(client, attacker, *tries), strict=True) if got.startswith("got")
    ] == []
    assert in_state.read_text() == decoy.read_text() == SECRET
    assert in_state.stat().st_mode == mode
    in_state.unlink()


def test_changed_file_makes_the_deployment_unhealthy(platform: LocalPlatform, client: Client, attacker: str) -> None:
    source = client.models.version(attacker, 1).lineage.source or ""
    (folder,) = (platform.record.state_dir / "mlflow" / "artifacts").rglob(source.removeprefix("models:/"))
    (pickle,) = folder.rglob("python_model.pkl")
    registered = pickle.read_bytes()
    pickle.write_bytes(registered + b"\0")
    client.deployments.put(attacker, "1", environment={"NEW": "process"})
    end = time.monotonic() + 240
    while (row := client.deployments.get(attacker, "1")).status != "unhealthy":
        assert time.monotonic() < end, row
        time.sleep(0.5)
    assert row.message is not None
    assert "not as it was registered" in row.message
    assert "python_model.pkl changed" in row.message
    pickle.write_bytes(registered)
    client.deployments.put(attacker, "1", min_replicas=0)
    assert client.deployments.wait(attacker, "1", timeout=240).status in {"ready", "scaled_to_zero"}
