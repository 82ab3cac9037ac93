"""``raylift nodes`` and ``raylift drain``."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from typer.testing import Result

from raylift.launcher.errors import LauncherError

Run = Callable[..., Result]
HEAD = {"node_id": "1" * 56, "name": "m1", "address": "10.0.0.1", "state": "ready", "is_head": True, "cpus": 2.0,
        "memory": 2**33, "gpus": 0.0, "jobs": 0}  # fmt: skip
WORKER = HEAD | {"node_id": "2" * 56, "name": "m2", "address": "10.0.0.2", "is_head": False, "jobs": 1}


def listed(*nodes: dict[str, Any]) -> dict[str, Any]:
    return {"accepts_nodes": True, "nodes": list(nodes)}


def test_nodes_are_listed_with_their_states(run: Run, platform: Any) -> None:
    platform.on("GET", "/mlops/nodes", listed(HEAD, WORKER | {"state": "not_prepared"}))
    done = run("nodes")
    assert [line.split()[:3] for line in done.stdout.splitlines()[1:]] == [
        ["m1", "(head)", "10.0.0.1"],
        ["m2", "10.0.0.2", "not"],
    ]
    assert "raylift join" in done.stderr


def test_drain_waits_until_the_node_has_left(run: Run, platform: Any) -> None:
    platform.on("POST", "/mlops/nodes/m2/drain", WORKER | {"state": "draining"}, status=202)
    platform.on("GET", "/mlops/nodes", listed(HEAD, WORKER), listed(HEAD))
    done = run("drain", "m2")
    assert done.exit_code == 0
    assert done.stderr.splitlines() == ["m2 takes no new work.", "  1 job runs there yet.", "m2 is drained: raylift nodes"]


def test_drain_says_what_to_do_with_a_node_that_stays_busy(run: Run, platform: Any) -> None:
    platform.on("POST", "/mlops/nodes/m2/drain", WORKER | {"state": "draining"}, status=202)
    platform.on("GET", "/mlops/nodes", listed(HEAD, WORKER))
    done = run("drain", "m2", "--timeout", "0")
    assert done.exit_code == 5
    assert "raylift leave --now" in done.stderr


@pytest.mark.parametrize(("arguments", "trusted"), [((), "/env.pem"), (("--ca", "/own.pem"), "/own.pem")])
def test_join_trusts_the_certificates_that_all_commands_trust(
    run: Run, monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...], trusted: str
) -> None:
    seen: list[str | None] = []

    def refuse(*_: Any, ca: str | None) -> None:
        seen.append(ca)
        raise LauncherError("refused")

    monkeypatch.setattr("raylift.launcher.nodes.join.join", refuse)
    monkeypatch.setenv("RAYLIFT_CA", "/env.pem")
    assert run("join", "https://m1:8000", "--token", "t", *arguments).exit_code == 1
    assert seen == [trusted]
