"""Private parts of Ray Serve that a replica needs: its internal listener, its queue, and its code version."""

from __future__ import annotations

import logging
from typing import Any, Final

from ray import util

_log = logging.getLogger(__name__)

_OPEN_PORT: Final = "add_port_to_grpc_server"
_ANYWHERE: Final = "[::]:0"
_LOOPBACK: Final = "127.0.0.1"
_REPLICA: Final = "_replica_impl"
_QUEUED: Final = "_num_queued_requests"


def keep_internal_server_on_loopback() -> None:
    """Bind the replica's internal gRPC server to the loopback interface, on nodes whose address is 127.0.0.1.

    Serve binds it to every interface, and it unpickles requests of any sender. Other listeners use the node's address. Call
    this in a deployment's constructor, before Serve opens the server.
    """
    node: Any = util
    if node.get_node_ip_address() != _LOOPBACK:
        return
    # Imported here, because only a replica's process needs it.
    from ray.serve._private import replica

    open_port: Any = getattr(replica, _OPEN_PORT)

    def open_on_loopback(server: Any, address: str) -> int:
        return open_port(server, f"{_LOOPBACK}:0" if address == _ANYWHERE else address)

    setattr(replica, _OPEN_PORT, open_on_loopback)


def set_code_version(deployment: Any, version: str) -> None:
    """Set the version whose change restarts the replicas of a Serve deployment. Serve has no public option for it."""
    deployment._version = version


class ServeQueue:
    """Number of requests that Serve holds in this replica's process, read from Serve's actor in the same process.

    With another release of Ray that stores it elsewhere, a warning is logged and the number is 0.
    """

    def __init__(self) -> None:
        # Imported here, because only a replica's process has the actor.
        from ray._private import worker

        process: Any = worker.global_worker
        found = (getattr(actor, _REPLICA, None) for actor in process.actors.values())
        self._replica: Any = next((replica for replica in found if hasattr(replica, _QUEUED)), None)
        if self._replica is None:
            _log.warning("Requests queued by Ray Serve are not counted: this release of Ray stores their number elsewhere")

    def held(self) -> int:
        return getattr(self._replica, _QUEUED, 0)
