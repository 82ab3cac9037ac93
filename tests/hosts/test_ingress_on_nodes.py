"""Every node with replicas answers for the whole platform, and what its replicas count is known to the head. Needs root."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.certificates import Authority
from tests.hosts.machines import Machine
from tests.hosts.platforms import MODEL, Platform, machines, patiently

pytestmark = [pytest.mark.nightly, pytest.mark.timeout(1200)]

BODY = json.dumps({"inputs": [{"name": "n", "shape": [1], "datatype": "INT64", "data": [1]}]})
INFER = ("-H", "Content-Type: application/json", "-d", BODY)
BY_NAME, BY_VERSION = "/v2/models/where/infer", "/v2/models/where/versions/1/infer"


def test_any_node_answers_as_the_head_does(folder: Path) -> None:
    authority = Authority.make()
    with machines(folder, 2) as (first, second):
        certificate, key = authority.issue(folder, first.address, second.address)
        trusted = authority.write(folder / "ca.pem")
        platform = Platform(first, folder)
        platform.start(tls=(certificate, key, trusted))
        platform.on(second, "join", platform.url)
        job_id = platform.train(MODEL, "--cpus", "1", "--memory", "1GiB", "--model", "where")
        patiently(lambda: platform.job(job_id)["status"] == "completed")
        options = ("--cpus", "1.5", "--min-replicas", "2", "--max-replicas", "2", "--payload-log", "1")
        platform.on(first, "deployments", "set", "where", "1", *options)
        patiently(lambda: {platform.where() for _ in range(4)} == {"m1", "m2"})
        patiently(lambda: platform.ask(second, BY_NAME, *INFER)[0] == 200)

        predictions_reach_all_replicas_from_any_node(platform, second)
        rules_of_the_head_hold_on_the_node(platform, second)
        revoked_key_ends_on_the_node(platform, second)
        changed_certificate_is_shown_on_the_node(platform, second, authority)
        counters_and_payloads_of_the_node_reach_the_head(platform, second)
        dead_node_takes_no_other_requests_with_it(platform, second)
        platform.on(first, "down", "--state-dir", str(platform.state))


def answered_by(platform: Platform, node: Machine, path: str) -> str:
    status, body = platform.ask(node, path, *INFER)
    assert status == 200, body
    return json.loads(body)["outputs"][0]["data"][0]


def predictions_reach_all_replicas_from_any_node(platform: Platform, node: Machine) -> None:
    for path in (BY_NAME, BY_VERSION):
        assert {answered_by(platform, node, path) for _ in range(8)} == {"m1", "m2"}


def rules_of_the_head_hold_on_the_node(platform: Platform, node: Machine) -> None:
    assert platform.ask(node, BY_VERSION, *INFER, key="rl_wrong")[0] == 401
    assert platform.ask(node, BY_NAME, *INFER, key="rl_wrong")[0] == 401
    assert platform.ask(node, "/mlops/nodes", key="rl_wrong")[0] == 401
    assert platform.ask(node, "/mlops/nodes", "-H", "Host: evil.example")[0] == 403
    status, body = platform.ask(node, "/mlops/nodes")
    assert (status, {each["name"] for each in json.loads(body)["nodes"]}) == (200, {"m1", "m2"})
    assert platform.ask(node, "/mlflow/api/2.0/mlflow/experiments/get?experiment_id=0")[0] == 200
    assert platform.ask(node, "/ray/", "-o", "/dev/null", "-w", "%{redirect_url}\\n%{http_code}") == (
        307,
        f"{platform.url}/ray/",
    )


def revoked_key_ends_on_the_node(platform: Platform, node: Machine) -> None:
    made = platform.json("keys", "create", "reader")
    patiently(lambda: platform.ask(node, BY_VERSION, *INFER, key=made["key"])[0] == 200)
    platform.on(platform.first, "keys", "revoke", made["key_id"])
    patiently(lambda: platform.ask(node, BY_VERSION, *INFER, key=made["key"])[0] == 401, 20)


def changed_certificate_is_shown_on_the_node(platform: Platform, node: Machine, authority: Authority) -> None:
    def serial() -> str:
        command = f"openssl s_client -connect {node.address}:8000 </dev/null 2>/dev/null | openssl x509 -noout -serial"
        return platform.first.run("sh", "-c", command).stdout

    before = serial()
    authority.issue(platform.folder, platform.first.address, node.address)
    patiently(lambda: serial() != before, 60)
    assert platform.ask(node, "/mlops/nodes")[0] == 200


def counters_and_payloads_of_the_node_reach_the_head(platform: Platform, node: Machine) -> None:
    before = requests(platform)
    answers = [answered_by(platform, node, BY_NAME) for _ in range(20)]
    assert "m2" in answers
    patiently(lambda: requests(platform) == before + 20, 20)
    log = platform.state / "payloads" / "where" / "1"
    patiently(lambda: payload_rows(log) == requests(platform), 90)
    assert platform.json("models", "stats", "where", "1")["replicas"] == 2


def dead_node_takes_no_other_requests_with_it(platform: Platform, node: Machine) -> None:
    before = requests(platform)
    node.pull_plug()
    assert [answered_by(platform, platform.first, BY_NAME) for _ in range(20)] == ["m1"] * 20
    patiently(lambda: platform.states() == {"m1": "ready"})
    patiently(lambda: platform.json("models", "stats", "where", "1")["replicas"] == 1, 60)
    assert requests(platform) == before + 20


def requests(platform: Platform) -> int:
    return platform.json("models", "stats", "where", "1")["requests"]


def payload_rows(folder: Path) -> int:
    from pyarrow import parquet

    return sum(parquet.read_metadata(path).num_rows for path in folder.glob("*/*.parquet"))
