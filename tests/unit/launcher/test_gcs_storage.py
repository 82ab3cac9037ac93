"""Storage of the cluster state: its configuration, and what is refused before anything starts."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from raylift.launcher.errors import LauncherError
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
