"""Messages between the gateway and the fork server: JSON, an object a line, over its stdin and stdout.

The version goes to the child alone, in a file: what the fork server has in memory, every later child has.
"""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any, Final

from serve_apps.model_server.process.spec import VersionSpec

_SPEC_FILE: Final = "version.json"


@dataclass(frozen=True, slots=True)
class WarmSpec(VersionSpec):
    """Version for a warm process."""

    packages_dirs: list[str] = field(default_factory=list[str])
    """site-packages of the version's environment; empty for the base."""
    confinement: dict[str, Any] | None = None
    """Fields of a ``Confinement``; None: the process may do what the platform may."""
    environment: dict[str, str] = field(default_factory=dict[str, str], repr=False)
    """Environment variables of the version."""


@dataclass(frozen=True, slots=True)
class Serve:
    """Fork, load a version, and answer HTTP at ``<directory>/http``."""

    child: str
    directory: str
    """Directory of its socket, its version and temporary files. The sender removes it."""


@dataclass(frozen=True, slots=True)
class End:
    """Kill a child."""

    child: str


class EventKind(StrEnum):
    WARM = "warm"
    """The libraries are imported: the server accepts commands."""
    LOADED = "loaded"
    LOAD_FAILED = "load_failed"
    """The version does not load here; the text has the reason."""
    ENDED = "ended"
    """The child has ended in any way; the text has the exit code or signal."""


@dataclass(frozen=True, slots=True)
class Event:
    kind: EventKind
    child: str = ""
    text: str = ""
    pid: int = 0


def write_spec(directory: Path, spec: WarmSpec) -> None:
    """Write a version for the child that will serve it. It has secrets, so only this user may read it."""
    with os.fdopen(os.open(directory / _SPEC_FILE, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        json.dump(asdict(spec), file)


def take_spec(directory: Path) -> WarmSpec:
    """Read the version and remove its file."""
    file = directory / _SPEC_FILE
    spec = WarmSpec(**json.loads(file.read_text()))
    file.unlink()
    return spec


def encode(message: Serve | End | Event) -> bytes:
    return json.dumps({"is": type(message).__name__, **asdict(message)}).encode() + b"\n"


def decode_command(line: bytes) -> Serve | End:
    fields: dict[str, Any] = json.loads(line)
    if fields["is"] == Serve.__name__:
        return Serve(fields["child"], fields["directory"])
    return End(fields["child"])


def decode_event(line: bytes) -> Event:
    fields: dict[str, Any] = json.loads(line)
    return Event(EventKind(fields["kind"]), fields["child"], fields["text"], fields["pid"])
