"""Machines join a platform, do its work and leave it. Each is a namespace of this machine (machines.py), so this needs root."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.hosts.machines import Machine
from tests.hosts.platforms import HOLD, MODEL, Platform, machines, patiently

pytestmark = [pytest.mark.nightly, pytest.mark.timeout(1200)]


def test_machines_join_work_and_leave(folder: Path) -> None:
    with machines(folder, 3) as (first, second, third):
        platform = Platform(first, folder)
        platform.start()

        refused = platform.on(second, "join", platform.url, "--token", "rlj_wrong", ok=False)
        assert (refused.returncode, "not the join token" in refused.stderr) == (1, True)
        assert platform.states() == {"m1": "ready"}
        platform.on(second, "join", platform.url)
        assert "joined already" in platform.on(second, "join", platform.url).stderr
        assert platform.states() == {"m1": "ready", "m2": "ready"}
        job_runs_to_its_end_on_a_drained_machine(platform, second)

        platform.on(third, "join", platform.url)
        replicas_serve_and_move(platform, third)
        platform.on(first, "down", "--state-dir", str(platform.state))


def job_runs_to_its_end_on_a_drained_machine(platform: Platform, second: Machine) -> None:
    job_id = platform.train(HOLD, "--cpus", "2", "--memory", "256MiB")
    patiently(lambda: "began on m2" in platform.log(job_id))
    platform.on(platform.first, "drain", "m2", "--no-wait")
    assert platform.states()["m2"] == "draining"
    patiently(lambda: platform.job(job_id)["status"] == "completed")
    assert platform.job(job_id)["attempt"] == 1
    assert "ended on m2" in platform.log(job_id)
    patiently(lambda: platform.states() == {"m1": "ready"})
    assert "Left" in platform.on(second, "leave").stderr
    assert "joined no platform" in platform.on(second, "leave", ok=False).stderr


def replicas_serve_and_move(platform: Platform, third: Machine) -> None:
    job_id = platform.train(MODEL, "--cpus", "1", "--memory", "1GiB", "--model", "where")
    patiently(lambda: platform.job(job_id)["status"] == "completed")
    deployment = ("deployments", "set", "where", "1", "--cpus", "1.5", "--max-replicas", "2")
    platform.on(platform.first, *deployment, "--min-replicas", "2")
    patiently(lambda: {platform.where() for _ in range(4)} == {"m1", "m3"})
    platform.on(platform.first, *deployment, "--min-replicas", "1", "--max-replicas", "1")
    platform.on(third, "leave")
    assert {platform.where() for _ in range(4)} == {"m1"}
    assert platform.states() == {"m1": "ready"}


def test_script_ends_before_it_runs_again_after_a_pulled_cable(folder: Path) -> None:
    with machines(folder, 2) as (first, second):
        platform = Platform(first, folder)
        platform.start()
        platform.on(second, "join", platform.url)
        job_id = platform.train(HOLD.replace("sleep(30)", "sleep(3600)"), "--cpus", "2", "--memory", "256MiB")
        patiently(lambda: "began on m2" in platform.log(job_id))
        assert scripts_on(second) > 0
        second.pull_cable()
        patiently(lambda: platform.job(job_id)["status"] == "queued")
        assert scripts_on(second) == 0
        assert platform.job(job_id)["attempt"] == 2
        assert "m2 was out of contact" in json.dumps(platform.json("jobs", "events", job_id))
        platform.on(first, "down", "--state-dir", str(platform.state))


def scripts_on(machine: Machine) -> int:
    """Count the processes of users' scripts."""
    return len(machine.run("pgrep", "-f", "job_entrypoints/script/runner.py", ok=False).stdout.split())
