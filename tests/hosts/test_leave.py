"""Machines that leave at once, that stay in the foreground, and that were started by hand. Needs root."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.hosts.machines import Machine
from tests.hosts.platforms import HOLD, Platform, machines, patiently

pytestmark = [pytest.mark.nightly, pytest.mark.timeout(1200)]


def test_node_leaves_at_once_or_in_order(folder: Path) -> None:
    with machines(folder, 2) as (first, second):
        platform = Platform(first, folder)
        platform.start()
        node_that_was_started_by_hand_takes_no_work(platform, second)
        output = folder / "worker.txt"

        worker = platform.worker(second, output)
        patiently(lambda: platform.states() == {"m1": "ready", "m2": "ready"})
        job_id = platform.train(HOLD, "--cpus", "2", "--memory", "256MiB")
        patiently(lambda: "began on m2" in platform.log(job_id))
        assert "Left" in platform.on(second, "leave", "--now").stderr
        assert worker.wait(60) == 1
        assert "Ray has ended" in output.read_text()
        patiently(lambda: platform.job(job_id)["attempt"] == 2)

        worker = platform.worker(second, output)
        patiently(lambda: {node["name"]: node["jobs"] for node in platform.json("nodes")["nodes"]}.get("m2") == 1)
        second.run("pkill", "-TERM", "-f", "raylift node worker")
        assert worker.wait(120) == 0
        written = output.read_text()
        assert "Left" in written
        assert "raylet" in written or "worker-" in written
        assert platform.job(job_id)["status"] == "completed"
        assert platform.job(job_id)["attempt"] == 2
        patiently(lambda: platform.states() == {"m1": "ready"})
        platform.on(first, "down", "--state-dir", str(platform.state))


def node_that_was_started_by_hand_takes_no_work(platform: Platform, machine: Machine) -> None:
    run = json.loads((platform.state / "run.json").read_text(encoding="utf-8"))
    token = (platform.state / "ray-token").read_text(encoding="ascii")
    own = {**platform.environment, "RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": token}
    address = f"{platform.first.address}:{run['ports']['block'] + 1}"
    machine.run("ray", "start", "--address", address, "--node-ip-address", machine.address, "--num-cpus", "2", env=own)
    patiently(lambda: platform.states() == {"m1": "ready", "m2": "not_prepared"})
    script = platform.folder / "large.py"
    script.write_text(HOLD, encoding="utf-8")
    refused = platform.on(platform.first, "train", str(script), "--experiment", "nodes", "--cpus", "2", ok=False)
    assert (refused.returncode, "the largest has 1 CPUs" in refused.stderr) == (2, True), refused.stderr
    machine.run("ray", "stop", "--force", env=own)
    patiently(lambda: platform.states() == {"m1": "ready"})
