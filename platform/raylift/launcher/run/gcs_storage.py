"""Storage of Ray's cluster state outside of the head, with which joined nodes outlive a restart of the head."""

from __future__ import annotations

import secrets
import socket
import ssl
from collections.abc import Callable
from pathlib import Path
from typing import Final
from urllib.parse import unquote, urlsplit

from pydantic import BaseModel, Field

from raylift.launcher.errors import LauncherError
from raylift.launcher.run.config import LocalConfig
from raylift.launcher.run.private_files import write_private
from raylift.ray_internals.external_storage import GcsStorage

_FILE: Final = "cluster.json"
_ANSWER_SECONDS: Final = 5.0


class StorageUnusable(LauncherError):
    """The server of ``cluster.gcs_storage`` does not answer as it should."""


class ClusterIdentity(BaseModel):
    """Facts about a platform that nodes know, kept for the next start so that they go on with it."""

    instance: str
    """Mark of its processes, and the namespace of its storage."""
    ingress_token: str = Field(repr=False)


def identity(config: LocalConfig, state_dir: Path) -> ClusterIdentity:
    """Return what a start is known by: with a storage always the same, else made anew."""
    path = state_dir / _FILE
    if config.cluster.gcs_storage is not None and path.exists():
        return ClusterIdentity.model_validate_json(path.read_bytes())
    made = ClusterIdentity(instance=secrets.token_hex(16), ingress_token=secrets.token_hex(16))
    if config.cluster.gcs_storage is not None:
        write_private(path, made.model_dump_json())
    return made


def gcs_storage(config: LocalConfig, namespace: str = "") -> GcsStorage | None:
    """Return the configured storage; None where Ray keeps its state in memory.

    Raises:
        LauncherError: the file of the password cannot be read.
    """
    if config.cluster.gcs_storage is None:
        return None
    parts = urlsplit(config.cluster.gcs_storage)
    host = f"[{parts.hostname}]" if ":" in (parts.hostname or "") else parts.hostname
    return GcsStorage(
        address=f"{parts.scheme}://{host}:{parts.port}",
        namespace=namespace,
        username=unquote(parts.username or ""),
        password=_password(config.cluster.gcs_password_file),
    )


def require_gcs_storage(config: LocalConfig, database_url: str) -> None:
    """Raise LauncherError where a storage is configured that cannot do what it is for."""
    storage = gcs_storage(config)
    if storage is None:
        return
    if not config.accept_nodes:
        raise LauncherError(
            "cluster.gcs_storage keeps the cluster for nodes that outlive the head, and no machine may join this platform.",
            hint="Let machines join (accept_nodes: true), or leave cluster.gcs_storage out.",
        )
    if not database_url.startswith("postgresql"):
        raise LauncherError(
            "cluster.gcs_storage needs a store on PostgreSQL: with SQLite, jobs and deployments are known to the head alone.",
            hint="Set database, or RAYLIFT_DATABASE_URL, to a PostgreSQL database (cluster_configs/high-availability.yaml).",
        )
    ports = config.ports
    open_ones = [name for name in ("gateway", "ray_dashboard", "mlflow", "grpc", "internal") if getattr(ports, name) == 0]
    if open_ones:
        raise LauncherError(
            f"cluster.gcs_storage needs fixed ports: nodes look for the head where it was. ports.{open_ones[0]} is 0.",
            hint="Choose one, e.g. ports: {internal: 21000} for the first of 1,000.",
        )
    check_storage(storage)


def check_storage(storage: GcsStorage) -> None:
    """Ask the server whether it answers and takes the password.

    Raises:
        StorageUnusable: it does not.
    """
    parts = urlsplit(storage.address)
    try:
        with socket.create_connection((str(parts.hostname), int(parts.port or 0)), _ANSWER_SECONDS) as plain:
            connection = plain
            if parts.scheme == "rediss":
                connection = ssl.create_default_context().wrap_socket(plain, server_hostname=parts.hostname)
            with connection, connection.makefile("rb") as answers:
                if storage.password:
                    user = (storage.username,) if storage.username else ()
                    _ask(connection, answers.readline, "AUTH", *user, storage.password)
                _ask(connection, answers.readline, "PING")
    except OSError as error:
        raise StorageUnusable(
            f"{storage.address} (cluster.gcs_storage) cannot be reached: {error}.", hint="Does Valkey run there?"
        ) from error


def _ask(connection: socket.socket, read_line: Callable[[], bytes], *words: str) -> None:
    arguments = [word.encode() for word in words]
    connection.sendall(b"*%d\r\n" % len(arguments) + b"".join(b"$%d\r\n%b\r\n" % (len(each), each) for each in arguments))
    answer = read_line()
    if not answer.startswith(b"+"):
        said = answer.decode("utf-8", "replace").strip().removeprefix("-") or "nothing"
        raise StorageUnusable(
            f"The server of cluster.gcs_storage refuses {words[0]}: {said}.",
            hint="Its password is the content of the file of cluster.gcs_password_file; a user's name goes into the address.",
        )


def _password(path: Path | None) -> str:
    if path is None:
        return ""
    try:
        return path.read_text(encoding="utf-8").strip()
    except OSError as error:
        raise LauncherError(f"{path} (cluster.gcs_password_file) cannot be read: {error.strerror}.") from error
