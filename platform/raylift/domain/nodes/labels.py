"""Nodes of a platform: labels by which Ray tells prepared ones, and their states."""

from __future__ import annotations

from enum import StrEnum
from typing import Final

NODE_LABEL: Final = "raylift.io/node"
"""Label of prepared nodes in Ray. Its value is the hash of the node document that they were started by."""
CONTROL_LABEL: Final = "raylift.io/control"
"""Label of nodes that run the supervisor and the gateway."""
CONTROL: Final = {CONTROL_LABEL: "true"}
NODE_ADDRESS_VARIABLE: Final = "RAYLIFT_NODE_ADDRESS"
"""Variable of a joined node's processes: the address at which the ingress reaches its replicas."""


class NodeState(StrEnum):
    """State of a live node."""

    READY = "ready"
    DRAINING = "draining"
    """It takes no new work, and leaves when its jobs have ended and its replicas have moved."""
    NOT_PREPARED = "not_prepared"
    """It was started by hand or by a former start of the platform: it takes no work."""
