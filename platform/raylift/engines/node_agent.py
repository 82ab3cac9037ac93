"""A node's agent: keeps the files of its HAProxy up to date, and hands over what the node's replicas have written.

It is a Ray actor (ray_engine/node_agents.py) on each joined node. It decides nothing: the supervisor calls it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from raylift.engines.metrics.other_nodes import (
    PayloadFile,
    ProcessFile,
    changed_processes,
    forget_payload_files,
    forget_processes,
    payload_files,
)
from raylift.ingress.haproxy import IngressFiles
from raylift.ingress.route_map import IngressMap
from raylift.ingress.runtime_socket import is_running
from raylift.ingress.tls import replace_pem


@dataclass(frozen=True, slots=True)
class NodeDirectories:
    """Directories of the platform, the same on every node."""

    session: Path
    counters: Path
    payloads: Path


@dataclass(frozen=True, slots=True)
class IngressUpdate:
    """News for a node's HAProxy."""

    maps: Mapping[str, Mapping[str, str]] = field(repr=False)
    """By name of their file, in the order in which they take effect."""
    pem: str | None = field(default=None, repr=False)
    """The certificate; None: no TLS, or the same as before."""
    is_complete: bool = False
    """These are all maps: HAProxy may start."""


@dataclass(frozen=True, slots=True)
class NodeReport:
    """Files of a node's replicas that the head does not have."""

    processes: Sequence[ProcessFile] = ()
    payloads: Sequence[PayloadFile] = ()
    has_ingress: bool = False
    """HAProxy runs there."""


class NodeAgent:
    def __init__(self, directories: NodeDirectories) -> None:
        self._ingress = IngressFiles(directories.session)
        self._directories = directories

    def update_ingress(self, update: IngressUpdate) -> None:
        """Bring HAProxy up to date. Cheap if nothing has changed. Raises EngineUnavailable: it did not accept a map."""
        for name, entries in update.maps.items():
            IngressMap(self._ingress.haproxy, name).put(entries)
        if update.pem is not None:
            replace_pem(self._ingress.haproxy, update.pem)
        if update.is_complete:
            self._ingress.ready.touch()

    def collect(self, known: Mapping[str, int], max_payload_bytes: int) -> NodeReport:
        """Return counters that have changed since ``known``, and files of payload logs."""
        counters, payloads = self._directories.counters, self._directories.payloads
        return NodeReport(
            changed_processes(counters, known),
            payload_files(payloads, max_payload_bytes),
            has_ingress=is_running(self._ingress.haproxy),
        )

    def forget(self, processes: Sequence[str], payloads: Sequence[str]) -> None:
        """Remove what the head has kept."""
        forget_processes(self._directories.counters, processes)
        forget_payload_files(self._directories.payloads, payloads)
