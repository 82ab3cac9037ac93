"""Joining machines: the node document, the checks, and the start of Ray by it."""

from __future__ import annotations

import json
import shlex
import threading
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from raylift.api.cluster.join import NodeDocument, NodeVersions
from raylift.domain.nodes.labels import CONTROL, NODE_LABEL
from raylift.ingress import haproxy
from raylift.ingress.engine_pages import EnginePages
from raylift.ingress.guard import Guard
from raylift.ingress.limits import Limits
from raylift.ingress.spec import IngressSpec, Tls
from raylift.launcher.errors import LauncherError
from raylift.launcher.nodes.checks import MachineDiffers, require_same
from raylift.launcher.nodes.document import node_document, versions_here, write_document
from raylift.launcher.nodes.join import (
    HeadUnreachable,
    JoinRefused,
    Machine,
    address_towards,
    fetch_document,
    join,
    node_command,
    node_environment,
)
from raylift.launcher.nodes.record import NodeRecord, read_node, write_node
from raylift.launcher.parts.ray_head import head_command
from raylift.launcher.progress import NoProgress
from raylift.launcher.run.config import LocalConfig, load_config
from raylift.launcher.run.environment import base_environment, head_environment
from raylift.launcher.run.exposure import require_node_address
from raylift.launcher.run.record import RunRecord

INGRESS = IngressSpec(
    8000,
    "secret",
    Guard(frozenset({"10.0.0.5"}), ("10.0.0.0/24",)),
    ("https://app.example",),
    Limits(requests_per_minute=7),
    Tls("PEM", 20015, 5),
    EnginePages(5000, "mlflow-credential", 8265, "ray-credential", mlflow_host="10.0.0.5"),
)
USER = {"HOME": "/home/ann", "UV_INDEX_URL": "https://pypi.example", "RAY_AUTH_MODE": "disabled"}


@pytest.fixture
def config() -> LocalConfig:
    own = {"environment": {"set": {"OMP_PROC_BIND": "true"}}}
    return load_config(overrides={"host": "10.0.0.5", "accept_nodes": True, "auth": "keys", **own})


@pytest.fixture
def record(tmp_path: Path) -> RunRecord:
    return RunRecord(
        instance="abc",
        started_at=datetime(2026, 1, 1, tzinfo=UTC),
        host="10.0.0.5",
        accepts_nodes=True,
        ports={"gateway": 8000, "ray_dashboard": 8265, "mlflow": 5000, "block": 20000},
        state_dir=tmp_path / "state",
        session_dir=tmp_path / "session",
    )


@pytest.fixture
def document(config: LocalConfig, record: RunRecord, tmp_path: Path) -> NodeDocument:
    base = base_environment(config.environment, record.instance, tmp_path, USER)
    head = head_environment(base, record, attempts_dir=tmp_path, cores=2)
    assert head["RAYLIFT_NODE_ADDRESS"] == "10.0.0.5"
    return node_document(config, record, base, head, INGRESS)


@pytest.fixture
def node(document: NodeDocument) -> NodeRecord:
    return NodeRecord(
        instance=document.instance,
        url="http://10.0.0.5:8000",
        address="10.0.0.6",
        ray_address=document.ray_address,
        session_dir=Path(document.session_dir),
        state_dir=Path(document.state_dir),
        environment={},
    )


def test_parts_that_nodes_reach_have_the_node_s_address(config: LocalConfig, record: RunRecord) -> None:
    assert (record.mlflow_url, record.ray_address) == ("http://10.0.0.5:5000", "10.0.0.5:20001")
    assert record.ray_dashboard_url == "http://127.0.0.1:8265"
    command = shlex.join(head_command(config, record, {NODE_LABEL: "h", **CONTROL}))
    assert "--node-ip-address 10.0.0.5" in command
    assert "--labels raylift.io/node=h,raylift.io/control=true" in command
    alone = record.model_copy(update={"accepts_nodes": False})
    assert (alone.mlflow_url, alone.ray_address) == ("http://127.0.0.1:5000", "127.0.0.1:20001")
    assert "--labels" not in shlex.join(head_command(config, alone, {}))


@pytest.mark.parametrize("host", ["127.0.0.1", "0.0.0.0", "::", "raylift.example"])
def test_nodes_are_accepted_at_an_address_of_this_machine_only(host: str) -> None:
    with pytest.raises(LauncherError, match="--accept-nodes"):
        require_node_address(load_config(overrides={"host": host, "accept_nodes": True}))
    require_node_address(load_config(overrides={"host": host}))


def test_document_has_the_head_s_variables_but_not_its_user_s(document: NodeDocument) -> None:
    given = document.environment
    assert given["MLFLOW_TRACKING_URI"] == "http://10.0.0.5:5000"
    assert given["RAY_SERVE_ENABLE_HA_PROXY"] == "1"
    assert given["OMP_PROC_BIND"] == "true"
    assert not {"HOME", "UV_INDEX_URL", "RAY_AUTH_TOKEN_PATH", "TMPDIR", "PATH", "RAYLIFT_NODE_ADDRESS"} & given.keys()
    assert "LC_*" in document.inherit


def test_hash_changes_with_the_document_and_not_with_the_token(document: NodeDocument) -> None:
    assert document.model_copy(update={"ray_token": "t"}).hash == document.hash
    renewed = replace(INGRESS, tls=Tls("RENEWED", 20015, 5)).as_json()
    assert document.model_copy(update={"ingress": renewed}).hash == document.hash
    changed = document.model_copy(update={"environment": {**document.environment, "RAY_SERVE_ENABLE_HA_PROXY": "0"}})
    assert changed.hash != document.hash


def test_document_and_record_of_any_language_are_written(document: NodeDocument, node: NodeRecord, tmp_path: Path) -> None:
    variables = {"TEAM": "Köln"}
    write_document(tmp_path / "document.json", document.model_copy(update={"environment": variables}))
    assert NodeDocument.model_validate_json((tmp_path / "document.json").read_bytes()).environment == variables
    node.session_dir.mkdir(exist_ok=True)
    written = node.model_copy(update={"environment": variables})
    write_node(written)
    assert read_node(node.session_dir) == written


def test_node_starts_with_the_document_s_variables_and_a_token_of_its_own(document: NodeDocument, node: NodeRecord) -> None:
    environment = node_environment(document, node, {"UV_INDEX_URL": "https://other.example", **USER, "HOME": "/home/bob"})
    # A token file in a home directory, or a variable of the user, does not count.
    assert environment["RAY_AUTH_MODE"] == "token"
    assert environment["RAY_AUTH_TOKEN_PATH"] == str(node.session_dir / "ray-token")
    assert environment["RAYLIFT_NODE_ADDRESS"] == "10.0.0.6"
    assert environment["RAYLIFT_INSTANCE"] == "abc"
    assert environment["HOME"] == "/home/bob"
    command = shlex.join(node_command(document, node, Machine(cpus=3, gpus=1)))
    assert "--address 10.0.0.5:20001 --node-ip-address 10.0.0.6" in command
    assert "--num-cpus 3 --num-gpus 1" in command
    assert f"--labels raylift.io/node={document.hash}" in command
    assert "raylift.io/control" not in command
    assert "--head" not in command


@pytest.mark.parametrize(
    ("change", "sentence"),
    [({"python": "3.9.1"}, "Python 3.9.1"), ({"ray": "1.0"}, "Ray 1.0"), ({"raylift": "0.0"}, "Raylift 0.0"),
     ({"packages": {"scikit-learn": "0.1", "absent": "2"}}, r"scikit-learn 0.1 \(here: .*absent 2 \(here: none\)")],
)  # fmt: skip
def test_machine_with_other_versions_does_not_join(change: dict[str, Any], sentence: str) -> None:
    here = versions_here()
    require_same(here, here)
    require_same(here, here.model_copy(update={"packages": {**here.packages, "more": "1"}}))
    with pytest.raises(MachineDiffers, match=sentence):
        require_same(here.model_copy(update=change), here)


def test_versions_name_the_packages_that_environments_build_on() -> None:
    assert {"mlflow", "ray", "numpy"} <= versions_here().packages.keys()
    assert not {"pip", "setuptools"} & versions_here().packages.keys()


class Gateway:
    """Answers of a platform."""

    status: int = 200
    body: Any = None
    token: str | None = None


@pytest.fixture
def gateway() -> Iterator[tuple[Gateway, str]]:
    said = Gateway()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            said.token = self.headers["Authorization"]
            body = json.dumps(said.body).encode()
            self.send_response(said.status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: Any) -> None: ...  # noqa: A002

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield said, f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def test_refusals_of_the_platform_are_repeated(gateway: tuple[Gateway, str], document: NodeDocument) -> None:
    said, url = gateway
    said.status, said.body = 401, {"detail": "This is not the join token."}
    with pytest.raises(JoinRefused, match="not the join token"):
        fetch_document(url, "rlj_x")
    assert said.token == "Bearer rlj_x"
    said.status, said.body = 200, {"other": "version"}
    with pytest.raises(JoinRefused, match="another version of Raylift"):
        fetch_document(url, "rlj_x")
    said.body = document.model_dump(mode="json")
    assert fetch_document(f"{url}/", "rlj_x") == document


def test_silent_platform_is_named(tmp_path: Path) -> None:
    with pytest.raises(JoinRefused, match=r"http://127\.0\.0\.1:1 does not answer"):
        fetch_document("http://127.0.0.1:1", "rlj_x")


def test_refused_join_leaves_nothing(gateway: tuple[Gateway, str], document: NodeDocument, record: RunRecord) -> None:
    said, url = gateway
    other = NodeVersions(python="3.1.4", ray="2", raylift="1", packages={})
    for changed, sentence in (
        (document.model_copy(update={"versions": other}), "Python 3.1.4"),
        (document.model_copy(update={"ray_address": "127.0.0.1:1"}), "cannot be reached"),
    ):
        said.body = changed.model_dump(mode="json")
        with pytest.raises(LauncherError, match=sentence):
            join(url, "rlj_x", Machine(), NoProgress())
    assert not record.session_dir.exists()
    assert not record.state_dir.exists()


def test_machine_of_the_platform_itself_does_not_join(
    gateway: tuple[Gateway, str], document: NodeDocument, record: RunRecord
) -> None:
    said, url = gateway
    said.body = document.model_dump(mode="json")
    record.session_dir.mkdir()
    (record.session_dir / "haproxy").touch()
    with pytest.raises(JoinRefused, match="runs the platform itself"):
        join(url, "rlj_x", Machine(), NoProgress())


def test_session_of_a_node_that_was_started_by_hand_is_no_platform(
    gateway: tuple[Gateway, str], document: NodeDocument, record: RunRecord
) -> None:
    said, url = gateway
    said.body = document.model_copy(update={"ray_address": "127.0.0.1:1"}).model_dump(mode="json")
    (record.session_dir / "r").mkdir(parents=True)
    with pytest.raises(JoinRefused, match="cannot be reached"):
        join(url, "rlj_x", Machine(), NoProgress())


def test_address_is_the_one_towards_the_platform() -> None:
    assert address_towards("127.0.0.1:20001") == "127.0.0.1"


def test_document_brings_the_ingress_of_the_head(
    document: NodeDocument, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(haproxy, "haproxy_binary", lambda: "/bin/true")
    received = NodeDocument.model_validate_json(document.model_dump_json())
    spec = IngressSpec.of_json(received.ingress)
    assert spec == INGRESS
    assert "secret" not in repr(received)
    files = haproxy.IngressFiles(tmp_path)
    own = spec.on_node("10.0.0.6", received.url)
    files.write(own, host="10.0.0.6", node_address="10.0.0.6", joins=True)
    rules = (tmp_path / "ingress-rules").read_text()
    assert {"10.0.0.5", "10.0.0.6"} <= own.guard.hosts
    assert "10.0.0.5 10.0.0.6 }" in rules
    assert "A client may have 7 requests" in rules
    sections = (tmp_path / "ingress-sections").read_text()
    assert "server one 10.0.0.5:5000" in sections
    # Ray's dashboard listens on the loopback of the head.
    assert f"redirect code 307 prefix {received.url}" in sections
    assert "ray-credential" not in sections
    assert (files.haproxy / "tls.pem").read_text() == "PEM"
    assert all(
        path.stat().st_mode & 0o77 == 0 for path in tmp_path.iterdir() if path.is_file() and "secret" in path.read_text()
    )


def test_platform_that_starts_yet_is_told_from_one_that_refuses(gateway: tuple[Gateway, str], tmp_path: Path) -> None:
    said, url = gateway
    said.status, said.body = 503, {"detail": "Try again."}
    with pytest.raises(HeadUnreachable, match="Try again"):
        fetch_document(url, "rlj_x")
    said.status = 401
    with pytest.raises(JoinRefused) as refused:
        fetch_document(url, "rlj_x")
    assert not isinstance(refused.value, HeadUnreachable)
    with pytest.raises(HeadUnreachable):
        fetch_document("http://127.0.0.1:1", "rlj_x")
