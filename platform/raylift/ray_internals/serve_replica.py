"""Private parts of Ray Serve that a replica needs: its internal listener and its code version."""

from __future__ import annotations

from typing import Any, Final

from ray import util

_OPEN_PORT: Final = "add_port_to_grpc_server"
_ANYWHERE: Final = "[::]:0"


def keep_internal_server_on_node_address() -> None:
    """Bind the replica's internal gRPC server to the node's address, which on one machine is 127.0.0.1.

    Serve binds it to every interface, and it unpickles requests of any sender. Other listeners use the node's address. Call
    this in a deployment's constructor, before Serve opens the server.
    """
    node: Any = util
    address: str = node.get_node_ip_address()
    # Imported here, because only a replica's process needs it.
    from ray.serve._private import replica

    open_port: Any = getattr(replica, _OPEN_PORT)

    def open_on_node_address(server: Any, wanted: str) -> int:
        return open_port(server, f"{address}:0" if wanted == _ANYWHERE else wanted)

    setattr(replica, _OPEN_PORT, open_on_node_address)


def set_code_version(deployment: Any, version: str) -> None:
    """Set the version whose change restarts the replicas of a Serve deployment. Serve has no public option for it."""
    deployment._version = version
