"""The storage's password reaches GCS and `ray start`, and no command line."""

from __future__ import annotations

import inspect
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest
from ray._private import ray_constants, services

from raylift.ray_internals.external_storage import VARIABLE, GcsStorage, use_storage

STORAGE = GcsStorage("redis://10.0.0.9:6379", "here", "raylift", "a secret")


def test_storage_is_taken_from_the_environment_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, STORAGE.as_json())
    assert GcsStorage.taken_from_environment() == STORAGE
    assert GcsStorage.taken_from_environment() is None


def test_functions_of_ray_take_the_password_by_name() -> None:
    for function in (services.start_gcs_server, services.start_raylet, services.start_ray_client_server):
        assert {"redis_username", "redis_password"} <= inspect.signature(function).parameters.keys()
    assert "env_updates" in inspect.signature(services.start_ray_process).parameters
    flags = subprocess.run([services.GCS_SERVER_EXECUTABLE, "--help"], capture_output=True, text=True, check=False).stdout
    assert all(f"-{flag} (" in flags for flag in ("fromenv", "redis_username", "redis_password"))
    assert b"RAY_gcs_rpc_server_reconnect_timeout_s" in Path(services.RAYLET_EXECUTABLE).read_bytes()


def test_password_is_on_no_command_line(monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[tuple[list[str], str, dict[str, Any]]] = []

    def start(command: list[str], process_type: str, **options: Any) -> None:
        started.append((command, process_type, options))

    for name in ("start_ray_process", "start_gcs_server", "start_raylet", "start_ray_client_server"):
        monkeypatch.setattr(services, name, getattr(services, name))
    monkeypatch.setattr(services, "start_ray_process", start)
    for name in ("RAY_REDIS_ADDRESS", "RAY_external_storage_namespace"):
        monkeypatch.setenv(name, "")
    assert use_storage(STORAGE) == ["--redis-username", "raylift", "--redis-password", "a secret"]
    assert os.environ["RAY_REDIS_ADDRESS"] == STORAGE.address
    secret: dict[str, Any] = {"redis_username": "raylift", "redis_password": "a secret"}
    gcs_options: dict[str, Any] = {**secret, "config": {}, "gcs_server_port": 1}
    services.start_gcs_server(STORAGE.address, "/logs", "/out", "/err", "session", **gcs_options)
    assert "RAY_REDIS_ADDRESS" not in os.environ
    services.start_ray_client_server("10.0.0.5:1", "10.0.0.5", 2, runtime_env_agent_address="10.0.0.5:3", **secret)

    (gcs, kind, options), (client, _, client_options) = started
    assert kind == ray_constants.PROCESS_TYPE_GCS_SERVER
    assert gcs[-1] == "--fromenv=redis_username,redis_password"
    assert options["env_updates"] == {"FLAGS_redis_username": "raylift", "FLAGS_redis_password": "a secret"}
    assert "a secret" not in " ".join([*gcs, *client])
    assert "a secret" not in str(client_options)
