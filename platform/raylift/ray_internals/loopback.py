"""Keeps a replica's internal gRPC server off the network on a platform that is on one machine.

Ray Serve opens it on every interface (ray/serve/_private/replica.py, ``"[::]:0"``), whatever the node's address, and it takes
pickled requests without asking who sends them. Every other listener follows the node's address.
"""

from __future__ import annotations

from typing import Any

import ray.util

_OPEN_PORT = "add_port_to_grpc_server"
_ANYWHERE = "[::]:0"
_LOOPBACK = "127.0.0.1"


def keep_internal_server_on_loopback() -> None:
    """Call it in a deployment's constructor: the server is opened after that. Only nodes at 127.0.0.1 are concerned."""
    if ray.util.get_node_ip_address() != _LOOPBACK:
        return
    # Imported here: whoever only builds applications has no replica.
    from ray.serve._private import replica

    open_port: Any = getattr(replica, _OPEN_PORT)

    def open_on_loopback(server: Any, address: str) -> int:
        return open_port(server, f"{_LOOPBACK}:0" if address == _ANYWHERE else address)

    setattr(replica, _OPEN_PORT, open_on_loopback)
