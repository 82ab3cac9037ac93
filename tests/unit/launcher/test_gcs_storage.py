"""Storage of the cluster state: its configuration, and what is refused before anything starts."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from raylift.api.cluster.join import NodeDocument
from raylift.ingress.guard import Guard
from raylift.ingress.spec import IngressSpec
from raylift.launcher import doctor
from raylift.launcher.errors import LauncherError
from raylift.launcher.findings import Level
from raylift.launcher.nodes.document import versions_here
from raylift.launcher.nodes.join import JoinRefused, Machine, join
from raylift.launcher.nodes.record import NodeRecord, read_node, write_node
from raylift.launcher.progress import NoProgress
from raylift.launcher.run.config import LocalConfig, load_config
from raylift.launcher.run.environment import head_environment
from raylift.launcher.run.gcs_storage import StorageUnusable, check_storage, gcs_storage, identity, require_gcs_storage
from raylift.launcher.run.ports import PlatformPorts
from raylift.launcher.startup import new_record, platform_settings
from raylift.ray_internals.external_storage import GcsStorage

POSTGRES = "postgresql+psycopg://raylift@10.0.0.9/raylift"
PORTS = PlatformPorts(gateway=8000, ray_dashboard=8265, mlflow=5000, block=21000)


def config(**cluster: Any) -> LocalConfig:
    return load_config(
        overrides={
            "host": "10.0.0.5",
            "accept_nodes": True,
            "auth": "keys",
            "ports": {"internal": 21000},
            "cluster": {"gcs_storage": "redis://raylift@10.0.0.9:6379", **cluster},
        }
    )


@pytest.mark.parametrize(
    ("address", "sentence"),
    [
        ("10.0.0.9:6379", "it must be redis://HOST:PORT"),
        ("redis://10.0.0.9", "it must be redis://HOST:PORT"),
        ("redis://10.0.0.9:6379/1", "it must be redis://HOST:PORT"),
        ("redis://raylift:secret@10.0.0.9:6379", "cluster.gcs_password_file"),
    ],
)
def test_address_of_another_form_is_refused(address: str, sentence: str) -> None:
    with pytest.raises(LauncherError, match=sentence):
        config(gcs_storage=address)


def test_password_comes_from_its_file_and_is_not_shown(tmp_path: Path) -> None:
    file = tmp_path / "password"
    file.write_text("a secret\n", encoding="ascii")
    found = gcs_storage(config(gcs_password_file=str(file)), "here")
    assert found == GcsStorage("redis://10.0.0.9:6379", "here", "raylift", "a secret")
    assert "a secret" not in repr(found)
    with pytest.raises(LauncherError, match=r"cluster\.gcs_password_file\) cannot be read"):
        gcs_storage(config(gcs_password_file=str(tmp_path / "none")))


@pytest.mark.parametrize(
    ("changed", "database", "sentence"),
    [
        ({"accept_nodes": False}, POSTGRES, "no machine may join"),
        ({}, "sqlite:////state/raylift.db", "needs a store on PostgreSQL"),
        ({"ports": {"internal": 0}}, POSTGRES, r"ports\.internal is 0"),
    ],
)
def test_storage_without_what_it_needs_is_refused(changed: dict[str, Any], database: str, sentence: str) -> None:
    full = load_config(overrides=config().model_dump(mode="json") | changed) if "ports" not in changed else None
    wanted = full or config().model_copy(update={"ports": config().ports.model_copy(update=changed["ports"])})
    with pytest.raises(LauncherError, match=sentence):
        require_gcs_storage(wanted, database)


def test_platform_without_a_storage_needs_nothing(tmp_path: Path) -> None:
    require_gcs_storage(load_config(), "sqlite://")
    first, second = identity(load_config(), tmp_path), identity(load_config(), tmp_path)
    assert first.instance != second.instance
    assert list(tmp_path.iterdir()) == []


def test_next_start_is_known_to_nodes_by_the_same_facts(tmp_path: Path) -> None:
    records = [new_record(tmp_path, config(), PORTS) for _ in range(2)]
    tokens = [platform_settings(config(), record, {}).ingress for record in records]
    assert records[0].instance == records[1].instance
    assert tokens[0] == tokens[1]
    assert (tmp_path / "cluster.json").stat().st_mode & 0o077 == 0


def test_nodes_and_scripts_wait_for_the_head(tmp_path: Path) -> None:
    record = new_record(tmp_path, config(), PORTS)
    assert platform_settings(config(), record, {}).jobs.contact_seconds == 300
    assert platform_settings(config(head_outage_seconds=90), record, {}).jobs.contact_seconds == 90
    variables = head_environment({}, record, attempts_dir=tmp_path, cores=1, outage_seconds=300)
    assert variables["RAY_gcs_rpc_server_reconnect_timeout_s"] == "300"
    assert "RAY_gcs_rpc_server_reconnect_timeout_s" not in head_environment({}, record, attempts_dir=tmp_path, cores=1)


@contextmanager
def server(answers: dict[bytes, bytes]) -> Iterator[GcsStorage]:
    """A server that answers each command by its first word."""
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def serve() -> None:
            connection, _ = listening.accept()
            with connection, connection.makefile("rb") as received:
                while line := received.readline():
                    words = [(received.readline(), received.readline())[1].strip() for _ in range(int(line[1:]))]
                    connection.sendall(answers[words[0]])

        answering = threading.Thread(target=serve)
        answering.start()
        yield GcsStorage(f"redis://127.0.0.1:{listening.getsockname()[1]}", "", "", "secret")
        answering.join(10)


def test_storage_that_answers_is_taken() -> None:
    with server({b"AUTH": b"+OK\r\n", b"PING": b"+PONG\r\n"}) as storage:
        check_storage(storage)


def test_storage_that_refuses_the_password_is_told() -> None:
    refusal = b"-WRONGPASS invalid username-password pair\r\n"
    with server({b"AUTH": refusal}) as storage, pytest.raises(StorageUnusable, match="refuses AUTH: WRONGPASS"):
        check_storage(storage)


def test_storage_that_is_away_is_told() -> None:
    with socket.create_server(("127.0.0.1", 0)) as gone:
        port = gone.getsockname()[1]
    with pytest.raises(StorageUnusable, match=r"redis://127\.0\.0\.1:\d+ \(cluster\.gcs_storage\) cannot be reached"):
        check_storage(GcsStorage(f"redis://127.0.0.1:{port}", ""))


def test_doctor_checks_the_storage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAYLIFT_DATABASE_URL", POSTGRES)
    assert doctor._gcs_storage(load_config(), tmp_path) == []
    with server({b"PING": b"+PONG\r\n"}) as storage:
        (answers,) = doctor._gcs_storage(config(gcs_storage=storage.address), tmp_path)
    assert (answers.level, answers.detail) == (Level.OK, f"{storage.address} answers")
    (away,) = doctor._gcs_storage(config(gcs_storage=storage.address), tmp_path)
    assert (away.level, away.advice) == (Level.FAIL, "Does Valkey run there?")


def spec(hosts: frozenset[str]) -> IngressSpec:
    return IngressSpec(8000, "secret", Guard(hosts, ()))


def test_document_has_the_same_hash_at_the_next_start() -> None:
    names = [f"host-{number}" for number in range(20)]
    one, other = (spec(frozenset(order)).as_json() for order in (names, names[::-1]))
    assert one["guard"]["hosts"] == other["guard"]["hosts"] == sorted(names)


def test_node_that_runs_joins_again_by_another_document_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    document = NodeDocument(
        instance="abc",
        ray_address="127.0.0.1:1",
        state_dir=str(tmp_path / "state"),
        session_dir=str(tmp_path),
        environment={},
        inherit=[],
        ports=PORTS.as_dict(),
        object_store_memory=1,
        url="http://10.0.0.5:8000",
        ingress=spec(frozenset()).as_json(),
        versions=versions_here(),
    )
    running = NodeRecord(
        instance="abc",
        url=document.url,
        address="127.0.0.1",
        ray_address=document.ray_address,
        session_dir=tmp_path,
        state_dir=tmp_path,
        label=document.hash,
        environment={},
    )
    monkeypatch.setattr("raylift.launcher.nodes.join.fetch_document", lambda *_, **__: document)
    monkeypatch.setattr("raylift.launcher.nodes.join.is_alive", lambda _: True)
    write_node(running)
    assert join(document.url, "rlj_x", Machine(), NoProgress()) == (running, True)
    write_node(running.model_copy(update={"label": "of another configuration"}))
    with pytest.raises(JoinRefused, match="cannot be reached"):
        join(document.url, "rlj_x", Machine(), NoProgress())
    assert read_node(tmp_path) is None
