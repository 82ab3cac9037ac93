"""``/mlops/nodes``: the nodes and their states, the document by which a machine joins, and draining."""

from __future__ import annotations

from fastapi import APIRouter, Request, Response

from raylift.api.cluster.join import NodeDocument, NodeList, NodeStateView
from raylift.api.paths import NODE_DOCUMENT, NODES
from raylift.domain.nodes.labels import NodeState
from raylift.services.container import Services
from raylift.services.ports import Node
from serve_apps.gateway.access.door import token_of
from serve_apps.gateway.access.permissions import Action, Kind, needs
from serve_apps.gateway.http.responses import json_response, problems


def nodes_router(services: Services) -> APIRouter:
    router = APIRouter(tags=["platform"])

    @router.get(NODES, responses={200: {"model": NodeList}, **problems(503)}, dependencies=[needs(services, Action.READ)])
    def nodes() -> Response:
        """List all live nodes of Ray's cluster with their states."""
        return json_response(
            NodeList(
                accepts_nodes=services.nodes.accepts_nodes, nodes=[_view(services, each) for each in services.nodes.list()]
            )
        )

    @router.get(
        NODE_DOCUMENT,
        responses={200: {"model": NodeDocument}, **problems(401, 409)},
        # It has the keys of the platform, so the audit has each machine that got it.
        dependencies=[needs(services, Action.PUBLIC, "node.join")],
    )
    def document(request: Request) -> Response:
        """Give a machine that shows the join token all that it needs to join (`raylift join`)."""
        facts = services.nodes.join_facts(token_of(request.headers))
        found = NodeDocument.model_validate_json(facts.document)
        return json_response(found.model_copy(update={"ray_token": facts.ray_token}), headers={"Cache-Control": "no-store"})

    @router.post(
        f"{NODES}/{{node}}/drain",
        status_code=202,
        responses={202: {"model": NodeStateView}, **problems(404, 409, 503)},
        dependencies=[needs(services, Action.ADMINISTER, "node.drain", of=Kind.NODE)],
    )
    def drain(node: str) -> Response:
        """Let a node, by id, name or address, take no new work. It leaves when its jobs have ended and its replicas moved."""
        return json_response(_view(services, services.nodes.drain(node), NodeState.DRAINING), 202)

    return router


def _view(services: Services, node: Node, state: NodeState | None = None) -> NodeStateView:
    return NodeStateView(
        node_id=node.node_id,
        name=node.name,
        address=node.address,
        state=(state or node.state).value,
        is_head=node.is_head,
        cpus=node.cpus,
        memory=node.memory_bytes,
        gpus=node.gpus,
        jobs=services.holdings.now().on(node).jobs,
    )
