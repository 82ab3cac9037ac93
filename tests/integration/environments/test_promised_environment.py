"""The environment check of wrappers and replicas, on two real Ray clusters: only one has the plugin."""

from __future__ import annotations

import json
import uuid
from pathlib import Path
from typing import Any

import pytest

from raylift.engines.environments import runtime_env_for
from tests.integration.environments.private_ray import Cluster
from tests.integration.model_server.serve_cluster import ServeCluster

# The check itself is a unit test; here is what Ray does on a cluster that lost the plugin.
pytestmark = [pytest.mark.ray, pytest.mark.slow, pytest.mark.nightly]

LOCK = ("humanize==4.9.0",)


def _run(cluster: Cluster, root: Path, folder: Path) -> dict[str, Any]:
    attempt = folder / f"job_{uuid.uuid4().hex}-a1"
    (attempt / "source").mkdir(parents=True)
    (attempt / "source" / "a.py").write_text("import humanize\nassert humanize.__version__ == '4.9.0'")
    record = {"job_id": attempt.name, "script": "a.py", "environment_lock": LOCK, "in_overlay": True, "autolog": False}
    (attempt / "attempt.json").write_text(json.dumps(record))
    cluster.run(f"python -m job_entrypoints.train --attempt-dir {attempt}", runtime_env_for(LOCK, root))
    return json.loads((attempt / "progress.json").read_text())


def _deployed(cluster: Cluster, root: Path) -> str:
    """Serve's message for a version that does not exist, in an environment. It comes from inside a replica."""
    return cluster.drive(f"""
RUNTIME_ENV = {runtime_env_for(LOCK, root)!r}
import ray
from ray import serve
from serve_apps.model_server.ray.app import build
from raylift.domain.models.replica import ReplicaSpec
ray.init(address="auto", log_to_driver=False)
serve.start(proxy_location="Disabled")
spec = ReplicaSpec("m", "1", "file:///nowhere", "http://127.0.0.1:9", initial_replicas=1, runtime_env=RUNTIME_ENV)
try:
    serve.run(build(spec), name="m")
except RuntimeError as error:
    status = serve.status().applications["m"]
    print(error, status.message, *(d.message for d in status.deployments.values()))
serve.shutdown()
""")


def test_job_and_replica_run_in_their_overlay_with_the_plugin(cluster: Cluster, root: Path, tmp_path: Path) -> None:
    progress = _run(cluster, root, tmp_path)
    assert (progress["outcome"], progress["exit_code"]) == ("exited", 0)
    said = _deployed(cluster, root)
    assert "nowhere" in said
    assert "RAY_RUNTIME_ENV_PLUGINS" not in said


def test_job_and_replica_refuse_to_run_without_the_plugin(serving: ServeCluster, root: Path, tmp_path: Path) -> None:
    plain = Cluster(serving.address, f"http://127.0.0.1:{serving.dashboard_port}", serving.environment, tmp_path)
    progress = _run(plain, root, tmp_path)
    said = _deployed(plain, root)
    assert (progress["outcome"], progress["script_started_at"]) == ("environment_error", None)
    assert "RAY_RUNTIME_ENV_PLUGINS" in progress["message"]
    assert "RAY_RUNTIME_ENV_PLUGINS" in said
