"""The head loses power and comes back, or another machine takes its place, while other machines work. Needs root."""

from __future__ import annotations

import json
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.hosts.machines import Machine
from tests.hosts.platforms import HOLD, MODEL, Platform, machines, patiently
from tests.hosts.stores import PASSWORD, stores_on

pytestmark = [pytest.mark.nightly, pytest.mark.timeout(1800)]

BODY = json.dumps({"inputs": [{"name": "n", "shape": [1], "datatype": "INT64", "data": [1]}]})
INFER = ("-H", "Content-Type: application/json", "-d", BODY)
PATHS = ("/v2/models/where/infer", "/v2/models/where/versions/1/infer")
LONG = HOLD.replace("sleep(30)", "sleep(150)")


def test_nodes_go_on_while_the_head_restarts(folder: Path) -> None:
    with machines(folder, 3) as (first, second, third), stores_on(third) as database:
        platform = Platform(first, folder)
        start(platform, third, database)
        platform.join(second, "--cpus", "5")
        deploy(platform)
        on_worker = platform.train(LONG, "--cpus", "2", "--memory", "256MiB")
        on_head = platform.train(LONG, "--cpus", "1", "--memory", "256MiB")
        patiently(lambda: "began on m2" in platform.log(on_worker), 600)
        patiently(lambda: "began on m1" in platform.log(on_head), 600)
        with asked_all_the_while(platform, second, third) as answers:
            first.pull_plug()
            time.sleep(20)
            first.press_power()
            platform.up(first)
            patiently(lambda: platform.states() == {"m1": "ready", "m2": "ready"})
            patiently(lambda: platform.job(on_worker)["status"] == "completed", 600)
        assert set(answers) == {200}
        assert answers[200] > 20
        assert platform.job(on_worker)["attempt"] == 1
        assert platform.log(on_worker).count("ended on m2") == 1
        patiently(lambda: platform.job(on_head)["status"] == "completed", 600)
        assert platform.job(on_head)["attempt"] == 2
        platform.on(first, "down", "--state-dir", str(platform.state))


def test_another_machine_becomes_the_head_and_a_standby_the_supervisor(folder: Path) -> None:
    with machines(folder, 4, heads=2) as (first, spare, node, third), stores_on(third) as database:
        platform = Platform(first, folder)
        start(platform, third, database)
        platform.join(node, "--cpus", "5")
        job_id = platform.train(LONG, "--cpus", "2", "--memory", "256MiB")
        patiently(lambda: "began on m3" in platform.log(job_id), 600)
        first.pull_plug()
        spare.take_address(platform.address)
        platform.first = spare
        platform.up(spare)
        patiently(lambda: platform.states() == {"m2": "ready", "m3": "ready"})
        patiently(lambda: platform.job(job_id)["status"] == "completed", 600)
        assert platform.job(job_id)["attempt"] == 1
        assert platform.log(job_id).count("ended on m3") == 1
        standby_takes_over_from_a_frozen_supervisor(platform)
        platform.on(spare, "down", "--state-dir", str(platform.state))


def standby_takes_over_from_a_frozen_supervisor(platform: Platform) -> None:
    supervisors = platform.first.run("pgrep", "-f", "ray::SupervisorActor").stdout.split()
    assert len(supervisors) == 2
    for pid in supervisors:
        platform.first.run("kill", "-STOP", pid)
        job_id = platform.train("print('done')", "--cpus", "1", "--memory", "256MiB")
        patiently(lambda job_id=job_id: platform.job(job_id)["status"] == "completed", 600)
        platform.first.run("kill", "-CONT", pid)


def start(platform: Platform, stores: Machine, database: str) -> None:
    password = platform.folder / "valkey-password"
    password.write_text(PASSWORD, encoding="ascii")
    platform.start(
        more=f"""
{database}
ports: {{internal: 21000}}
startup: {{timeout_seconds: 600}}
supervisor: {{standbys: 1}}
cluster: {{gcs_storage: "redis://{stores.address}:6379", gcs_password_file: {password}, head_outage_seconds: 900}}
"""
    )
    assert PASSWORD not in platform.first.run("ps", "-e", "-ww", "-o", "args").stdout


def deploy(platform: Platform) -> None:
    job_id = platform.train(MODEL, "--cpus", "1", "--memory", "1GiB", "--model", "where")
    patiently(lambda: platform.job(job_id)["status"] == "completed", 600)
    platform.on(platform.first, "deployments", "set", "where", "1", "--cpus", "2.5", "--min-replicas", "1")
    patiently(lambda: platform.ask(platform.first, PATHS[0], *INFER)[1].count("m2") == 1, 600)


@contextmanager
def asked_all_the_while(platform: Platform, node: Machine, client: Machine) -> Iterator[Counter[int]]:
    """Ask a node for predictions, by name and by version, until the block ends. Counts the answers by status."""
    answers: Counter[int] = Counter()
    end = threading.Event()

    def ask() -> None:
        while not end.wait(0.5):
            for path in PATHS:
                answers[platform.ask(node, path, *INFER, by=client)[0]] += 1

    asking = threading.Thread(target=ask)
    asking.start()
    try:
        yield answers
    finally:
        end.set()
        asking.join()
