"""What the gateway and the warm process say to each other: JSON, one object a line, over the process's stdin and stdout."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from typing import Any


@dataclass(frozen=True, slots=True)
class WarmSpec:
    """The version that a fork of the warm process is to answer for."""

    model_name: str
    version: str
    model_uri: str
    mlflow_url: str
    max_body_bytes: int
    batching: dict[str, float] | None = None
    """The fields of the deployment's ``Batching``."""
    counters_dir: str | None = None
    """Where it counts its requests; None: for nobody."""
    observer: dict[str, Any] | None = None
    """The fields of an ``ObserverConfig``."""
    packages_dir: str | None = None
    """The site-packages of the version's environment; None for the base."""
    worked_on_dir: str | None = None
    """As ``ReplicaSpec``'s."""
    environment: dict[str, str] = field(default_factory=dict[str, str], repr=False)
    """Environment variables of the version."""


@dataclass(frozen=True, slots=True)
class Serve:
    """Fork, load, and answer HTTP at ``<directory>/http``."""

    child: str
    directory: str
    """Its own, for its socket and its temporary files. Whoever asked removes it."""
    spec: WarmSpec


@dataclass(frozen=True, slots=True)
class End:
    """Kill the fork."""

    child: str


class EventKind(StrEnum):
    WARM = "warm"
    """The libraries are imported: forks can be asked for."""
    LOADED = "loaded"
    UNFIT = "unfit"
    """It does not load here; the text says why."""
    ENDED = "ended"
    """The process of the fork is gone, for whatever reason; the text says how."""


@dataclass(frozen=True, slots=True)
class Event:
    kind: EventKind
    child: str = ""
    text: str = ""
    pid: int = 0


def encode(message: Serve | End | Event) -> bytes:
    return json.dumps({"is": type(message).__name__, **asdict(message)}).encode() + b"\n"


def decode_command(line: bytes) -> Serve | End:
    fields: dict[str, Any] = json.loads(line)
    if fields["is"] == Serve.__name__:
        return Serve(fields["child"], fields["directory"], WarmSpec(**fields["spec"]))
    return End(fields["child"])


def decode_event(line: bytes) -> Event:
    fields: dict[str, Any] = json.loads(line)
    return Event(EventKind(fields["kind"]), fields["child"], fields["text"], fields["pid"])
