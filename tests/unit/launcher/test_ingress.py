from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from raylift.ingress import haproxy
from raylift.ingress.guard import Guard
from raylift.ingress.spec import IngressSpec

Rewrite = Callable[[str], str]

CONFIG = """\
frontend http_frontend
    bind 127.0.0.1:8000
    acl is_http-churn-3 path_beg /v2/models/churn/versions/3/
    acl is_http-churn-3 path /v2/models/churn/versions/3
    acl is_http-iris-1 path /v2/models/iris/versions/1
    acl is_http-other-1 path /other
    acl is_http-gateway path /
frontend prometheus
    bind :9101
backend http-churn-3
    http-reuse always
    server fallback 127.0.0.1:8500 check backup
backend http-gateway
    server SERVE_REPLICA-a 127.0.0.1:30001 check observe layer4 error-limit 10 on-error mark-down
    server SERVE_REPLICA-b 127.0.0.1:30002 check
    server fallback 127.0.0.1:8500 check backup
backend http-iris-1
    server SERVE_REPLICA-c 127.0.0.1:30003 check
    server fallback 127.0.0.1:8500 check backup
backend http-other-1
    server fallback 127.0.0.1:8500 check backup
backend grpc-iris-1
    server fallback 127.0.0.1:9500 check backup
"""


@pytest.fixture
def rewrite(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Rewrite:
    """The text that HAProxy starts with in place of Ray's file."""
    monkeypatch.setattr(haproxy, "haproxy_binary", lambda: "/bin/true")

    def rewritten(content: str) -> str:
        files = haproxy.IngressFiles(tmp_path)
        files.write(IngressSpec(8000, "secret", Guard(frozenset({"localhost"}))), host="127.0.0.1")
        config = tmp_path / "c.cfg"
        config.write_text(content)
        subprocess.run([files.wrapper, "-f", config], check=True)
        return config.read_text()

    return rewritten


def test_replicas_are_asked_at_their_node_s_address(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(haproxy, "haproxy_binary", lambda: "/bin/true")
    files = haproxy.IngressFiles(tmp_path)
    spec = IngressSpec(8000, "secret", Guard(frozenset({"localhost"})))
    files.write(spec, host="10.0.0.6", node_address="10.0.0.6")
    config = tmp_path / "c.cfg"
    there = CONFIG.replace("SERVE_REPLICA-c 127.0.0.1", "SERVE_REPLICA-c 10.0.0.5")
    config.write_text(there)
    subprocess.run([files.wrapper, "-f", config], check=True)
    written = config.read_text()
    assert section(written, "http-gateway")[:2] == [
        "server SERVE_REPLICA-a 10.0.0.6:30001 check observe layer4 error-limit 10 on-error mark-down",
        "server SERVE_REPLICA-b 10.0.0.6:30002 check",
    ]
    gateway, fallback = (
        "server gateway-10.0.0.6:30001 10.0.0.6:30001 check backup",
        "server fallback 127.0.0.1:8500 check backup",
    )
    assert section(written, "http-iris-1")[-3:] == ["server SERVE_REPLICA-c 10.0.0.5:30003 check", gateway, fallback]
    assert "bind 10.0.0.6:8000" in written


def test_haproxy_of_a_joined_node_waits_for_its_maps(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(haproxy, "haproxy_binary", lambda: "/bin/true")
    files = haproxy.IngressFiles(tmp_path)
    files.write(IngressSpec(8000, "secret", Guard(frozenset({"localhost"}))), host="10.0.0.6", joins=True)
    config = tmp_path / "c.cfg"
    config.write_text(CONFIG)
    with subprocess.Popen([files.wrapper, "-f", config]) as waiting:
        with pytest.raises(subprocess.TimeoutExpired):
            waiting.wait(0.5)
        files.ready.touch()
        assert waiting.wait(30) == 0


def section(config: str, name: str) -> list[str]:
    lines = config.split(f"backend {name}\n", 1)[1].split("backend ", 1)[0].splitlines()
    return [line.strip() for line in lines]


def test_requests_without_a_replica_go_to_the_gateway_first(rewrite: Rewrite) -> None:
    config = rewrite(CONFIG)
    gateway = "server gateway-127.0.0.1:30001 127.0.0.1:30001 check backup"
    fallback = "server fallback 127.0.0.1:8500 check backup"
    assert section(config, "http-churn-3")[-2:] == [gateway, fallback]
    assert section(config, "http-iris-1")[-3:] == ["server SERVE_REPLICA-c 127.0.0.1:30003 check", gateway, fallback]


def test_only_versions_have_a_fallback(rewrite: Rewrite) -> None:
    config = rewrite(CONFIG)
    assert section(config, "http-other-1") == section(CONFIG, "http-other-1")
    assert section(config, "http-gateway") == section(CONFIG, "http-gateway")
    assert section(config, "grpc-iris-1") == section(CONFIG, "grpc-iris-1")


def test_no_fallback_without_a_gateway(rewrite: Rewrite) -> None:
    content = "".join(line for line in CONFIG.splitlines(keepends=True) if "SERVE_REPLICA-a" not in line and "-b " not in line)
    config = rewrite(content)
    for name in ("http-churn-3", "http-iris-1"):
        assert section(config, name) == section(content, name)


def test_haproxy_logs_no_requests(rewrite: Rewrite) -> None:
    config = rewrite(
        "global\n    log /dev/null local0 info\n" + CONFIG.replace("    http-reuse", "    log global\n    http-reuse")
    )
    assert "log global" not in config
    assert section(config, "http-churn-3")[0] == "no log"
    assert "log /dev/null local0 info" in config
