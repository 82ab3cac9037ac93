"""Record of a joined node: ``node.json`` in the session directory, which a restart of the machine removes as well."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from pydantic import BaseModel, ConfigDict, ValidationError

from raylift.launcher.processes.platform_processes import end_all, pids_by_component
from raylift.launcher.run.private_files import write_private
from raylift.launcher.run.session import remove_session

_NAME: Final = "node.json"
_SESSIONS: Final = Path("/tmp")  # noqa: S108 - run/session.py says why they are there
_GRACE_SECONDS: Final = 10.0


class NodeRecord(BaseModel):
    """Data to find and end the processes of a joined node."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    instance: str
    """Mark of its processes: that of the platform."""
    url: str
    """Address of the platform's API."""
    address: str
    """Address of this node."""
    ray_address: str
    session_dir: Path
    state_dir: Path
    label: str = ""
    """Hash of the node document that it was started by."""
    environment: dict[str, str]
    """Variables of the node document."""

    @property
    def ray_token_file(self) -> Path:
        return self.session_dir / "ray-token"

    @property
    def log(self) -> Path:
        """Output of `ray start`."""
        return self.session_dir / "ray-start.log"


def write_node(record: NodeRecord) -> None:
    write_private(record.session_dir / _NAME, record.model_dump_json())


def read_node(session: Path) -> NodeRecord | None:
    """Return the node of a session directory; None without one."""
    try:
        return NodeRecord.model_validate_json((session / _NAME).read_bytes())
    except (FileNotFoundError, ValidationError):
        return None


def nodes_of_this_machine() -> Iterator[NodeRecord]:
    """Yield the nodes that this user has joined."""
    for session in sorted(_SESSIONS.glob("rl-*")):
        if session.lstat().st_uid == os.getuid() and (record := read_node(session)) is not None:
            yield record


def is_alive(record: NodeRecord) -> bool:
    """Return True while Ray's node runs."""
    return "raylet" in pids_by_component(record.instance)


def end_node(record: NodeRecord) -> list[str]:
    """End all processes of the node on this machine, and remove its session. Returns their descriptions."""
    ended = end_all(record.instance, grace_seconds=_GRACE_SECONDS)
    remove_session(record.session_dir)
    return ended
