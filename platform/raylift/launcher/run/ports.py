"""Ports of a platform: public ones as requested, all others from one free block."""

from __future__ import annotations

import random
import socket
from collections.abc import Generator, Iterable
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

import psutil

from raylift.launcher.errors import LauncherError, PortTaken
from raylift.launcher.run.config import Ports

BLOCK_SIZE: Final = 1000
# Below Linux's range for outgoing connections (from 32768), above Ray's usual worker ports (to 19999).
_BLOCKS: Final = range(20_000, 32_000, BLOCK_SIZE)
_LISTEN: Final = "0A"
LOOPBACK: Final = "127.0.0.1"
_PUBLIC: Final = {"gateway": "the API", "ray_dashboard": "Ray's dashboard", "mlflow": "MLflow", "grpc": "gRPC"}
_OPTIONS: Final = {"gateway": "--port", "ray_dashboard": "--dashboard-port", "mlflow": "--mlflow-port", "grpc": "--grpc-port"}


@dataclass(frozen=True, slots=True)
class PlatformPorts:
    """Every port of one platform. The launcher listens on the first of the block during a start, to reserve the block."""

    gateway: int
    ray_dashboard: int
    mlflow: int
    block: int
    grpc: int | None = None
    """None: no gRPC."""

    @property
    def internal(self) -> dict[str, int]:
        """Single ports between processes, by purpose."""
        names = (
            "gcs",
            "object_manager",
            "node_manager",
            "ray_client",
            "agent_http",
            "agent_grpc",
            "environment_agent",
            "ray_metrics",
            "autoscaler_metrics",
            "dashboard_metrics",
            "haproxy_metrics",
            "haproxy_stats",
            "fallback_http",
            "fallback_grpc",
            "ingress",
        )
        return {name: self.block + 1 + position for position, name in enumerate(names)}

    @property
    def replicas(self) -> range:
        """HTTP ports of replicas."""
        return range(self.block + 20, self.block + 320)

    @property
    def replicas_grpc(self) -> range:
        """Ports of replicas for gRPC. Unused, but Serve opens them, so two platforms must not share them."""
        return range(self.block + 320, self.block + 330)

    @property
    def workers(self) -> range:
        """Ports of Ray's worker processes, one each."""
        return range(self.block + 400, self.block + BLOCK_SIZE)

    def as_dict(self) -> dict[str, int]:
        return {name: port for name, port in asdict(self).items() if port is not None}


@contextmanager
def choose_ports(wanted: Ports, host: str, node_address: str = LOOPBACK) -> Generator[PlatformPorts]:
    """Choose free ports. No other launcher chooses the same block while the context lasts.

    Raises:
        PortTaken: a requested port is in use; the message names its purpose and holder.
    """
    require_free(wanted, host, node_address)
    with _reserved_block(wanted.internal) as block:
        spare = iter(range(block + 16, block + 20))
        yield PlatformPorts(
            gateway=wanted.gateway or next(spare),
            ray_dashboard=wanted.ray_dashboard or next(spare),
            mlflow=wanted.mlflow or next(spare),
            block=block,
            grpc=None if wanted.grpc is None else wanted.grpc or next(spare),
        )


def require_free(wanted: Ports, host: str, node_address: str = LOOPBACK) -> None:
    """Raise PortTaken if a requested public port is in use. MLflow listens on ``node_address``."""
    addresses = {"gateway": host, "grpc": host, "mlflow": node_address}
    for name, purpose in _PUBLIC.items():
        port: int | None = getattr(wanted, name)
        address = addresses.get(name, LOOPBACK)
        if port and not is_free(port, address):
            raise PortTaken(
                f"Port {port} is taken: {purpose} wants it, and {holder_of(port)} holds it.",
                hint=f"End that process, or choose another: raylift up {_OPTIONS[name]} PORT (in a file: ports.{name}).",
            )


def is_free(port: int, address: str = LOOPBACK) -> bool:
    """Return True where a server can listen."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        # Like servers, ignores connections of a former server in TIME_WAIT.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((address, port))
        except OSError:
            return False
    return True


def holder_of(port: int) -> str:
    """Describe the process that listens on ``port``."""
    try:
        connections = psutil.net_connections(kind="tcp")
    except psutil.AccessDenied:
        return "a process of another user"
    for connection in connections:
        if connection.laddr and connection.laddr.port == port and connection.status == psutil.CONN_LISTEN:
            return _describe(connection.pid)
    return "another process"


def listening_ports(tables: Iterable[str] = ("tcp", "tcp6")) -> set[int]:
    """Return all TCP ports with a listener on this machine."""
    ports: set[int] = set()
    for table in tables:
        path = Path("/proc/net", table)
        if path.exists():
            rows = (line.split() for line in path.read_text(encoding="ascii").splitlines()[1:])
            ports.update(int(row[1].rpartition(":")[2], 16) for row in rows if row[3] == _LISTEN)
    return ports


@contextmanager
def _reserved_block(asked: int) -> Generator[int]:
    blocks = [asked] if asked else random.sample(_BLOCKS, len(_BLOCKS))
    for block in blocks:
        with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as reservation:
            try:
                # Exclusive, and visible to other launchers as a listener in the block.
                reservation.bind((LOOPBACK, block))
                reservation.listen(1)
            except OSError:
                continue
            if not listening_ports() & set(range(block + 1, block + BLOCK_SIZE)):
                yield block
                return
    if asked:
        raise PortTaken(
            f"The {BLOCK_SIZE} ports from {asked} (ports.internal) are not all free.",
            hint="Choose another first port, or 0 to have one chosen.",
        )
    raise LauncherError(
        f"No {BLOCK_SIZE} free ports in a row between {_BLOCKS.start} and {_BLOCKS.stop}.",
        hint="Set ports.internal to the first of a block of 1,000 that is free.",
    )


def _describe(pid: int | None) -> str:
    if pid is None:
        return "a process of another user"
    try:
        command = " ".join(psutil.Process(pid).cmdline())
    except (psutil.NoSuchProcess, psutil.AccessDenied):
        return f"process {pid}"
    return f"process {pid} ({command[:120].strip()})"
