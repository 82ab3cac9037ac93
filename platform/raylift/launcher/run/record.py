"""What one `raylift up` wrote down about itself, in ``run.json`` of the state directory."""

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

from raylift.launcher.errors import LauncherError
from raylift.launcher.run.ports import PlatformPorts

_NAME: Final = "run.json"


class RunRecord(BaseModel):
    """Enough to find, judge and end everything that was started. Written before the first process."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    instance: str
    """The mark of every process (processes.MARK)."""
    started_at: datetime
    host: str
    ports: dict[str, int]
    state_dir: Path
    session_dir: Path
    """Ray's and HAProxy's sockets and logs: short, since socket paths are limited, and removed by `raylift down`."""
    stop_grace_seconds: float = 10.0
    """How long the scripts of running jobs have to save when the platform is stopped."""
    config_file: Path | None = None
    """The user's own configuration, if there is one."""
    pids: dict[str, int] = {}
    """The main processes, by component."""
    ready: bool = False
    """Whether the start came to its end."""

    @property
    def platform_ports(self) -> PlatformPorts:
        return PlatformPorts(**self.ports)

    @property
    def local_host(self) -> str:
        """The host under which this machine reaches the API."""
        return "127.0.0.1" if self.host == "0.0.0.0" else self.host  # noqa: S104 - compared, not bound

    @property
    def gateway_url(self) -> str:
        return f"http://{self.local_host}:{self.ports['gateway']}"

    @property
    def ray_dashboard_url(self) -> str:
        return f"http://127.0.0.1:{self.ports['ray_dashboard']}"

    @property
    def mlflow_url(self) -> str:
        return f"http://127.0.0.1:{self.ports['mlflow']}"

    @property
    def ray_address(self) -> str:
        return f"127.0.0.1:{self.platform_ports.internal['gcs']}"

    def urls(self) -> dict[str, str]:
        return {
            "api": self.gateway_url,
            "docs": f"{self.gateway_url}/docs",
            "ray_dashboard": self.ray_dashboard_url,
            "mlflow": self.mlflow_url,
            **({"grpc": f"{self.local_host}:{self.ports['grpc']}"} if "grpc" in self.ports else {}),
        }


class RecordHalfWritten(LauncherError):
    """The machine went down before the record was on its disk."""


def read_record(state_dir: Path) -> RunRecord | None:
    """The record of the last start; None when there was none, or it was stopped.

    Raises:
        RecordHalfWritten: it is no JSON.
        LauncherError: it is none of ours.
    """
    path = state_dir / _NAME
    try:
        record = RunRecord.model_validate_json(path.read_bytes())
    except FileNotFoundError:
        return None
    except ValidationError as error:
        if error.errors()[0]["type"] == "json_invalid":
            raise RecordHalfWritten(
                f"{path} was written only half: the machine probably lost its power.",
                hint="raylift up ends what is left of that platform, and starts it anew.",
            ) from error
        raise LauncherError(
            f"{path} cannot be understood: it was written by another version of Raylift, or by hand.",
            hint=f"If no platform runs on {state_dir}, delete that file.",
        ) from error
    return _of_this_directory(record, state_dir.resolve())


def _of_this_directory(record: RunRecord, state_dir: Path) -> RunRecord | None:
    """A directory that was moved takes its record along. A copy has the record of the first one's platform: none of its own."""
    if record.state_dir == state_dir:
        return record
    try:
        first = json.loads((record.state_dir / _NAME).read_bytes())["instance"]
    except (OSError, ValueError, LookupError, TypeError):
        first = None
    return None if first == record.instance else record.model_copy(update={"state_dir": state_dir})


def write_record(record: RunRecord) -> None:
    """Durable when this returns: without it, nothing that was started is found again."""
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
    """Only one `raylift up` or `down` at a time on a state directory.

    Raises:
        LauncherError: another one is at work.
    """
    state_dir.mkdir(parents=True, exist_ok=True)
    with (state_dir / "run.lock").open("w", encoding="ascii") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise LauncherError(
                f"Another raylift up or down is at work on {state_dir}.", hint="Wait until it is done."
            ) from error
        yield
