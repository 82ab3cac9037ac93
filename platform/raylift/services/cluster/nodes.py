"""Nodes of the platform: their states, their draining, and the document by which other machines join."""

from __future__ import annotations

import hmac
from collections.abc import Sequence
from dataclasses import dataclass, field

from raylift.domain.errors import Conflict, NodeNotFound, NodesNotAccepted, Unauthenticated
from raylift.domain.listing import listed
from raylift.domain.nodes.labels import NodeState
from raylift.services.ports import Cluster, Node
from raylift.settings import PlatformSettings


@dataclass(frozen=True, slots=True)
class JoinFacts:
    """The parts of the node document."""

    document: str
    """JSON, without Ray's token."""
    ray_token: str = field(repr=False)


class NodeService:
    def __init__(self, settings: PlatformSettings, cluster: Cluster) -> None:
        self._settings = settings
        self._cluster = cluster

    @property
    def accepts_nodes(self) -> bool:
        return self._settings.cluster is not None

    def list(self) -> Sequence[Node]:
        """Return all live nodes. Raises EngineUnavailable."""
        return self._cluster.all_nodes()

    def join_facts(self, token: str | None) -> JoinFacts:
        """Return the node document for a machine that shows the join token.

        Raises:
            NodesNotAccepted: the platform was started for one machine.
            Unauthenticated: the token is missing or wrong.
        """
        cluster, ray_token = self._settings.cluster, self._settings.ray_token_file
        if cluster is None or ray_token is None:
            raise NodesNotAccepted(
                "This platform was started for one machine. To let others join: raylift up --host ADDRESS --accept-nodes."
            )
        # Read for each request, so that a replaced token counts at once.
        wanted = cluster.join_token_file.read_text(encoding="ascii").strip()
        if token is None or not hmac.compare_digest(token.encode(), wanted.encode()):
            raise Unauthenticated(f"This is not the join token. It is in {cluster.join_token_file} on the platform's machine.")
        return JoinFacts(cluster.document_file.read_text(encoding="utf-8"), ray_token.read_text(encoding="ascii").strip())

    def drain(self, named: str) -> Node:
        """Let a node take no new work and leave when it has none. ``named``: its id, name or address. May be repeated.

        Raises:
            NodeNotFound: there is no such live node, or there are several.
            Conflict: the supervisor and the gateway run there.
        """
        nodes = self.list()
        found = [node for node in nodes if named in (node.name, node.address) or node.node_id == named]
        if len(found) != 1:
            names = listed([node.node_id if len(found) > 1 else node.name for node in found or nodes])
            problem = "Several nodes are named" if found else "There is no live node"
            raise NodeNotFound(f"{problem} {named!r}. {'Use the id' if found else 'There are'}: {names}.", node=named)
        (node,) = found
        if node.is_head:
            raise Conflict(f"{node.name} runs the platform itself: `raylift down` stops it.", node=named)
        if node.state is not NodeState.DRAINING:
            self._cluster.drain(node.node_id)
        return node
