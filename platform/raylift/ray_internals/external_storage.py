"""Storage of Ray's cluster state (GCS) outside of the head's memory: Valkey or Redis.

Ray takes a password on its command line and hands it to the command lines of its processes, where every user of the machine
reads it. Here only `ray start` and GCS know it, by their environments.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from typing import Any, Final, Self

from pydantic import TypeAdapter
from ray._private import ray_constants, services

VARIABLE: Final = "RAYLIFT_GCS_STORAGE"
"""Variable of `ray start` alone: a ``GcsStorage`` as JSON."""
_OF_RAY: Final = ("RAY_REDIS_ADDRESS", "RAY_external_storage_namespace")
_HANDED_ON: Final = ("start_gcs_server", "start_raylet", "start_ray_client_server")
"""Functions of Ray that write the password into a command line or into the environment of workers."""


@dataclass(frozen=True, slots=True)
class GcsStorage:
    """A server, and the part of it that is this platform's."""

    address: str
    """``redis://host:port``, or ``rediss://`` for TLS."""
    namespace: str
    """First part of all keys."""
    username: str = ""
    password: str = field(default="", repr=False)

    def as_json(self) -> str:
        return _ADAPTER.dump_json(self).decode()

    @classmethod
    def taken_from_environment(cls) -> Self | None:
        """Return the storage that `ray start` was given, and remove it from the environment that its processes inherit."""
        text = os.environ.pop(VARIABLE, None)
        return None if text is None else cls(**asdict(_ADAPTER.validate_json(text)))


_ADAPTER: TypeAdapter[GcsStorage] = TypeAdapter(GcsStorage)


def use_storage(storage: GcsStorage) -> list[str]:
    """Let the next `ray start --head` of this process keep its state there. Returns further arguments for it."""
    for name, value in zip(_OF_RAY, (storage.address, storage.namespace), strict=True):
        os.environ[name] = value
    services.start_ray_process = _with_password(services.start_ray_process, storage)
    for name in _HANDED_ON:
        setattr(services, name, _without_password(getattr(services, name)))
    return ["--redis-username", storage.username, "--redis-password", storage.password]


def _with_password(start: Callable[..., Any], storage: GcsStorage) -> Callable[..., Any]:
    """Give GCS the password by its environment, and the server's address to no process after it."""

    def start_process(command: list[str], process_type: str, **options: Any) -> Any:
        if process_type != ray_constants.PROCESS_TYPE_GCS_SERVER:
            return start(command, process_type, **options)
        secret = {"FLAGS_redis_username": storage.username, "FLAGS_redis_password": storage.password}
        started = start([*command, "--fromenv=redis_username,redis_password"], process_type, env_updates=secret, **options)
        for name in _OF_RAY:
            os.environ.pop(name, None)
        return started

    return start_process


def _without_password(start: Callable[..., Any]) -> Callable[..., Any]:
    def start_process(*arguments: Any, **options: Any) -> Any:
        return start(*arguments, **(options | {"redis_username": None, "redis_password": None}))

    return start_process
