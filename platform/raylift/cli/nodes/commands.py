"""``raylift nodes`` and ``raylift drain``: the nodes of a platform, by its URL."""

from __future__ import annotations

import time
from typing import Annotated, Any, Final

import typer

from raylift.api import paths
from raylift.api.cluster.join import NodeList, NodeStateView
from raylift.cli.exits import ExitCode, stop
from raylift.cli.printing import print_table, say
from raylift.cli.session import Session, command
from raylift.domain.quantities import format_bytes

_PAUSE_SECONDS: Final = 1.0


def register(root: typer.Typer) -> None:
    """Add ``nodes`` and ``drain``."""
    command(root, "nodes", NodeList, _print_nodes)(nodes)
    command(root, "drain", NodeStateView, _print_drained)(drain)


def nodes(session: Session) -> Any:
    """List the machines of the platform with their states."""
    return session.client.request("GET", paths.NODES)


def drain(
    session: Session,
    node: Annotated[str, typer.Argument(help="Id, name or address of a node.", show_default=False)],
    wait: Annotated[bool, typer.Option("--wait/--no-wait", help="Wait until the node has left.")] = True,
    timeout: Annotated[float | None, typer.Option(help="Seconds to wait; default: no limit.", min=0)] = None,
) -> Any:
    """Empty a node: it takes no new work, its replicas move, its jobs run to their ends, and then it leaves."""
    answer = session.client.request("POST", paths.node_drain(node))
    view = NodeStateView.model_validate(answer)
    if not wait:
        return answer
    say(f"{view.name} takes no new work.")
    began, shown = time.monotonic(), -1
    while (found := _present(session, view.node_id)) is not None:
        if found.jobs != shown:
            shown = found.jobs
            say(f"  {found.jobs} {'job runs' if found.jobs == 1 else 'jobs run'} there yet.")
        if timeout is not None and time.monotonic() - began > timeout:
            raise stop(
                f"{view.name} still has work after {timeout:g} s, and takes no new. `raylift leave --now` on that machine ends "
                "its work, which starts again elsewhere.",
                ExitCode.TIMEOUT,
            )
        time.sleep(_PAUSE_SECONDS)
    return answer


def _present(session: Session, node_id: str) -> NodeStateView | None:
    listed = NodeList.model_validate(session.client.request("GET", paths.NODES))
    return next((node for node in listed.nodes if node.node_id == node_id), None)


def _print_drained(node: NodeStateView) -> None:
    say(f"{node.name} is drained: raylift nodes")


def _print_nodes(found: NodeList) -> None:
    rows = [
        (
            f"{node.name} (head)" if node.is_head else node.name,
            node.address,
            node.state.replace("_", " "),
            f"{node.cpus:g}",
            format_bytes(node.memory),
            f"{node.gpus:g}" if node.gpus else "-",
            node.jobs,
            node.node_id[:8],
        )
        for node in found.nodes
    ]
    print_table(("node", "address", "state", "cpus", "memory", "gpus", "jobs", "id"), rows)
    if any(node.state == "not_prepared" for node in found.nodes):
        say("Nodes that are not prepared take no work: start them with raylift join.")
    if not found.accepts_nodes:
        say("This platform is for one machine. raylift up --host ADDRESS --accept-nodes lets others join.")
