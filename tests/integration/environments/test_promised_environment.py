"""A job's wrapper on two real Ray clusters: one has the plugin, one passes over its field without a word."""

from __future__ import annotations

import json
import uuid
from pathlib import Path
from typing import Any

from raylift.engines.environments import runtime_env_for
from tests.integration.environments.private_ray import Cluster, private_ray

LOCK = ("humanize==4.9.0",)


def _run(cluster: Cluster, root: Path, folder: Path) -> dict[str, Any]:
    attempt = folder / f"job_{uuid.uuid4().hex}-a1"
    (attempt / "source").mkdir(parents=True)
    (attempt / "source" / "a.py").write_text("import humanize\nassert humanize.__version__ == '4.9.0'")
    record = {"job_id": attempt.name, "script": "a.py", "environment_lock": LOCK, "in_overlay": True, "autolog": False}
    (attempt / "attempt.json").write_text(json.dumps(record))
    cluster.run(f"python -m job_entrypoints.train --attempt-dir {attempt}", runtime_env_for(LOCK, root))
    return json.loads((attempt / "progress.json").read_text())


def test_with_the_plugin_it_runs_in_its_overlay(cluster: Cluster, root: Path, tmp_path: Path) -> None:
    progress = _run(cluster, root, tmp_path)
    assert (progress["outcome"], progress["exit_code"]) == ("exited", 0)


def test_without_the_plugin_it_does_not_run_at_all(root: Path, tmp_path: Path) -> None:
    with private_ray(with_plugin=False) as plain:
        progress = _run(plain, root, tmp_path)
    assert (progress["outcome"], progress["script_started_at"]) == ("environment_error", None)
    assert "RAY_RUNTIME_ENV_PLUGINS" in progress["message"]
