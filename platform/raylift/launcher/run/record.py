"""Record of one `raylift up`: ``run.json`` in the state directory."""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Generator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Final

from pydantic import BaseModel, ConfigDict, ValidationError

from raylift.api.paths import CONSOLE, DOCS_PAGE
from raylift.ingress.engine_pages import MLFLOW, RAY
from raylift.launcher.errors import LauncherError
from raylift.launcher.run.access_files import admin_key_file
from raylift.launcher.run.exposure import is_loopback
from raylift.launcher.run.ports import LOOPBACK, PlatformPorts
from raylift.launcher.run.private_files import make_private
from raylift.launcher.run.tokens import join_token_file, ray_token_file
from raylift.settings import AuthMode

_NAME: Final = "run.json"


class RunRecord(BaseModel):
    """Data to find, check and end all processes. Written before the first one starts."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    instance: str
    """Mark of every process (platform_processes.MARK)."""
    started_at: datetime
    host: str
    ports: dict[str, int]
    state_dir: Path
    session_dir: Path
    """Directory of Ray's and HAProxy's sockets and logs. `raylift down` removes it."""
    stop_grace_seconds: float = 10.0
    """Time for scripts of running jobs to save when the platform stops."""
    tls_name: str | None = None
    """Host name of the API's certificate. None: no TLS."""
    config_file: Path | None = None
    """The user's configuration file, if any."""
    pids: dict[str, int] = {}
    """Main processes by component."""
    accepts_nodes: bool = False
    """True where other machines may join. Ray and MLflow then listen on ``host``."""
    auth: AuthMode = AuthMode.LOCAL
    """``keys``: every request needs a key."""
    ready: bool = False
    """True after a completed start."""

    @property
    def platform_ports(self) -> PlatformPorts:
        return PlatformPorts(**self.ports)

    @property
    def local_host(self) -> str:
        """Host at which this machine reaches the API."""
        return local_host(self.host)

    @property
    def listens_on(self) -> str | None:
        """Sentence on an address of the API that other machines reach; None for loopback."""
        if is_loopback(self.host):
            return None
        return f"{self.host}:{self.ports['gateway']}, open to other machines" + (
            "; every request needs a key" if self.auth is AuthMode.KEYS else ", and the API does not ask who calls"
        )

    @property
    def url(self) -> str:
        """URL of the API for clients."""
        return f"https://{self.tls_name}:{self.ports['gateway']}" if self.tls_name else self.gateway_url

    @property
    def gateway_url(self) -> str:
        """URL of the API for the platform's own processes, without TLS."""
        if self.tls_name:
            return f"http://127.0.0.1:{self.platform_ports.internal['ingress']}"
        return f"http://{self.local_host}:{self.ports['gateway']}"

    @property
    def node_address(self) -> str:
        """Address of this machine's Ray node and of MLflow."""
        return self.host if self.accepts_nodes else LOOPBACK

    @property
    def ray_dashboard_url(self) -> str:
        return f"http://127.0.0.1:{self.ports['ray_dashboard']}"

    @property
    def ray_token_file(self) -> Path:
        """File of the token that Ray's dashboard and other ports require."""
        return ray_token_file(self.state_dir)

    @property
    def admin_key_file(self) -> Path | None:
        """File of the admin key of the platform's user, in keys mode."""
        return admin_key_file(self.state_dir) if self.auth is AuthMode.KEYS else None

    @property
    def join_token_file(self) -> Path | None:
        """File of the token that joining machines show; None where none may join."""
        return join_token_file(self.state_dir) if self.accepts_nodes else None

    @property
    def mlflow_url(self) -> str:
        return f"http://{self.node_address}:{self.ports['mlflow']}"

    @property
    def ray_address(self) -> str:
        return f"{self.node_address}:{self.platform_ports.internal['gcs']}"

    def urls(self) -> dict[str, str]:
        is_local = self.auth is AuthMode.LOCAL
        return {
            "api": self.url,
            "console": f"{self.url}{CONSOLE}",
            "docs": f"{self.url}{DOCS_PAGE}",
            "ray_dashboard": self.ray_dashboard_url if is_local else f"{self.url}{RAY}/",
            "mlflow": self.mlflow_url if is_local else f"{self.url}{MLFLOW}/",
            **({"grpc": f"{self.tls_name or self.local_host}:{self.ports['grpc']}"} if "grpc" in self.ports else {}),
        }


def local_host(host: str) -> str:
    """Return the address at which this machine reaches a server that listens on ``host``."""
    return "127.0.0.1" if host == "0.0.0.0" else host  # noqa: S104 - compared, not bound


class IncompleteRecord(LauncherError):
    """The record was not written completely, probably because of a power failure."""


def read_record(state_dir: Path) -> RunRecord | None:
    """Return the record of the last start; None without one, or after a stop.

    Raises:
        IncompleteRecord: it is not valid JSON.
        LauncherError: its fields are invalid.
    """
    path = state_dir / _NAME
    try:
        record = RunRecord.model_validate_json(path.read_bytes())
    except FileNotFoundError:
        return None
    except ValidationError as error:
        if error.errors()[0]["type"] == "json_invalid":
            raise IncompleteRecord(
                f"{path} is incomplete, probably because of a power failure.",
                hint="raylift up ends the rest of that platform and starts it again.",
            ) from error
        raise LauncherError(
            f"{path} is invalid: it was written by another version of Raylift, or by hand.",
            hint=f"If no platform runs on {state_dir}, delete that file.",
        ) from error
    return _of_this_directory(record, state_dir.resolve())


def _of_this_directory(record: RunRecord, state_dir: Path) -> RunRecord | None:
    """Return the record of a moved directory with its new path, and None for a copy, whose record belongs to the original."""
    if record.state_dir == state_dir:
        return record
    try:
        first = json.loads((record.state_dir / _NAME).read_bytes())["instance"]
    except (OSError, ValueError, LookupError, TypeError):
        first = None
    return None if first == record.instance else record.model_copy(update={"state_dir": state_dir})


def write_record(record: RunRecord) -> None:
    """Write the record; durable on return, because started processes are found only through it."""
    path = record.state_dir / _NAME
    draft = path.with_suffix(".draft")
    draft.touch(mode=0o600)
    with draft.open("w", encoding="utf-8") as file:
        file.write(record.model_dump_json(indent=2))
        file.flush()
        os.fsync(file.fileno())
    draft.replace(path)


def delete_record(state_dir: Path) -> None:
    (state_dir / _NAME).unlink(missing_ok=True)


@contextmanager
def exclusive(state_dir: Path) -> Generator[None]:
    """Lock the state directory for one `raylift up` or `down`.

    Raises:
        LauncherError: another one is running.
    """
    lock = state_dir / "run.lock"
    if lock.exists() or not state_dir.exists():
        # An existing directory without our lock may be meant for other things, too.
        make_private(state_dir)
    with lock.open("w", encoding="ascii") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise LauncherError(
                f"Another raylift up or down is running on {state_dir}.", hint="Wait until it has finished."
            ) from error
        yield
