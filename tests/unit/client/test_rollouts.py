"""``client.rollouts``."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from raylift.client import RolloutWaitTimeout
from tests.unit.cli.test_rollout_commands import ENDED, ONE, PATH, ROLLOUT

BY_ID = f"{PATH}/rollout_1"


@pytest.fixture
def rollouts(client: Any, platform: Any) -> Any:
    platform.on("POST", PATH, httpx.Response(201, json=ROLLOUT))
    platform.on("GET", ONE, httpx.Response(200, json=ROLLOUT))
    return client.rollouts


def test_start_takes_numbers_as_weights(rollouts: Any, platform: Any) -> None:
    rollouts.start("churn", 4, steps=[{"shadow": True}, 5, 100], guards={"p95_ratio": None})
    rollouts.start("churn", "challenger", alias="champion")
    assert platform.bodies() == [
        {
            "model_name": "churn",
            "version": 4,
            "steps": [{"shadow": True}, {"weight": 5}, {"weight": 100}],
            "guards": {"p95_ratio": None},
        },
        {"model_name": "churn", "version": "challenger", "alias": "champion"},
    ]


def test_wait_returns_the_end(rollouts: Any, platform: Any) -> None:
    platform.on("GET", BY_ID, httpx.Response(200, json=ROLLOUT), httpx.Response(200, json=ENDED))
    assert [seen.status for seen in rollouts.follow("churn")] == ["running", "rolled_back"]
    assert rollouts.wait("churn").message == "Version 4 failed 40 of 50."


def test_wait_gives_up(rollouts: Any, platform: Any) -> None:
    platform.on("GET", BY_ID, httpx.Response(200, json=ROLLOUT))
    with pytest.raises(RolloutWaitTimeout, match="is running after 5 s"):
        rollouts.wait("churn", timeout=5)


def test_list_reads_all_pages(rollouts: Any, platform: Any) -> None:
    pages = [{"rollouts": [ROLLOUT], "next_cursor": "x"}, {"rollouts": [ENDED], "next_cursor": None}]
    platform.on("GET", PATH, *(httpx.Response(200, json=page) for page in pages))
    assert [each.status for each in rollouts.list(model="churn")] == ["running", "rolled_back"]


def test_reason_is_sent(rollouts: Any, platform: Any) -> None:
    platform.on("POST", f"{ONE}/abort", httpx.Response(200, json=ENDED))
    assert rollouts.abort("churn", reason="too early").status == "rolled_back"
    assert platform.bodies()[-1] == {"reason": "too early"}


def test_gate_of_an_upload(client: Any, platform: Any) -> None:
    platform.on("POST", "/mlops/training/upload", httpx.Response(500, json={}))
    for gate in ("champion", {"alias": "champion", "when": "auc > 0.5"}):
        with pytest.raises(Exception, match="500"):
            client.train(script_content="print(1)", model="churn", promote=gate)
    sent = [body["promote"] for body in platform.bodies()]
    assert {"alias": "champion"} in sent
    assert {"alias": "champion", "when": "auc > 0.5"} in sent
