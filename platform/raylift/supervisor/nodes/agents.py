"""Looks after the agents of joined nodes: starts and ends them, and calls them for news of the ingress and for counters."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, Protocol

from raylift.domain.errors import EngineUnavailable
from raylift.domain.nodes.labels import NodeState
from raylift.engines.metrics.other_nodes import end_processes_of_gone, keep_payload_file, keep_process
from raylift.engines.node_agent import IngressUpdate, NodeReport
from raylift.ingress.route_map import IngressMap, RouteMap
from raylift.services.ports import Node

log = logging.getLogger(__name__)

PAUSE_SECONDS: Final = 2.0
"""Pause between two looks: so old are the counters of other nodes at most."""
_PAYLOAD_BYTES: Final = 32 * 1024**2
"""Payload logs that one call brings."""


class Agents(Protocol):
    """Agents of nodes (engines/ray_engine/node_agents.py)."""

    def start(self, node_id: str) -> None: ...
    def find(self, node_id: str) -> bool: ...
    def end(self, node_id: str) -> None: ...
    def forget(self, node_id: str) -> None: ...
    def call(self, method: str, arguments: Mapping[str, Sequence[Any]]) -> dict[str, Any]: ...


class NodeUpkeep:
    """Everything that joined nodes need from the supervisor. Without any, it lists the nodes and does nothing else.

    Args:
        all_nodes: lists Ray's live nodes.
        agents: their agents.
        counters_dir: counters of the head, and copies of those of other nodes.
        payloads_dir: payload logs, which come here from all nodes.
        map_files: maps of the ingress. HAProxy of a node starts when it has them all.
        certificate: file of HAProxy on this node; None without TLS.
    """

    def __init__(
        self,
        all_nodes: Callable[[], Sequence[Node]],
        agents: Agents,
        *,
        counters_dir: Path,
        payloads_dir: Path,
        map_files: Collection[str],
        certificate: Path | None = None,
    ) -> None:
        self._all_nodes = all_nodes
        self._agents = agents
        self._counters_dir = counters_dir
        self._payloads_dir = payloads_dir
        self._map_files = map_files
        self._certificate = certificate
        self._guard = threading.Lock()
        """Lock of the maps and of what the nodes have: two tasks publish, and a third one repeats it."""
        self._maps: dict[str, Mapping[str, str]] = {}
        self._sent: dict[str, dict[str, Mapping[str, str]]] = {}
        """Maps that each node has, by node and file. A node whose agent did not answer is not in it."""
        self._served: frozenset[str] | None = None
        """Nodes with an agent at the last look; None before the first one."""
        self._present: frozenset[str] | None = None
        self._known: dict[str, dict[str, int]] = {}
        """Marks of the counters that were copied, by node and file."""

    def open_map(self, directory: Path, name: str) -> RouteMap:
        """Return a map that goes to the ingresses of all nodes."""
        return _MapOfEveryNode(IngressMap(directory, name), name, self)

    def publish(self, name: str, entries: Mapping[str, str]) -> None:
        """Bring a map to each node that does not have it.

        Raises:
            EngineUnavailable: a node did not take it, so it may still go by the former one.
        """
        with self._guard:
            self._maps[name] = dict(entries)
            behind = [node_id for node_id, maps in self._sent.items() if maps.get(name) != entries]
            # They are asked again with the next look, so that the others need not wait for them.
            silent = None if self._served is None else sorted(self._served - self._sent.keys())
            failed = self._send({node_id: IngressUpdate({name: entries}) for node_id in behind})
        if silent is None:
            raise EngineUnavailable(f"The nodes that need {name} are not known yet")
        if failed or silent:
            raise EngineUnavailable(f"The ingress of node {', '.join([*failed, *silent])} did not take {name} yet")

    def attend(self) -> None:
        """Look after the agents of all nodes once.

        Raises:
            EngineUnavailable: Ray does not list its nodes.
        """
        nodes = [node for node in self._all_nodes() if not node.is_head and node.state is not NodeState.NOT_PREPARED]
        present = frozenset(node.node_id for node in nodes)
        if present != self._present:
            self._notice(present)
        agents = [node for node in nodes if self._has_agent(node)]
        with self._guard:
            self._served = frozenset(node.node_id for node in agents)
        if not agents:
            return
        self._repeat_ingress([node.node_id for node in agents])
        reports = self._agents.call(
            "collect", {node.node_id: (self._known.setdefault(node.node_id, {}), _PAYLOAD_BYTES) for node in agents}
        )
        for node in agents:
            report = reports[node.node_id]
            if isinstance(report, EngineUnavailable):
                log.warning("%s", report)
                continue
            self._keep(node.node_id, report)
            is_needed = self._known[node.node_id] or report.payloads or report.has_ingress
            if node.state is NodeState.DRAINING and not is_needed:
                log.info("node %s has no replicas any more: its agent ends", node.name)
                self._end_agent(node.node_id)

    def _end_agent(self, node_id: str) -> None:
        with self._guard:
            self._served = (self._served or frozenset()) - {node_id}
            self._sent.pop(node_id, None)
        self._agents.end(node_id)

    def _notice(self, present: frozenset[str]) -> None:
        """Note which nodes there are. Processes of others count as ended."""
        with self._guard:
            for node_id in (self._sent.keys() | self._known.keys()) - present:
                self._sent.pop(node_id, None)
                self._known.pop(node_id, None)
                self._agents.forget(node_id)
            self._present = present
        if ended := end_processes_of_gone(self._counters_dir, present):
            log.info("%d processes of nodes that are gone count as ended", ended)

    def _has_agent(self, node: Node) -> bool:
        if node.state is NodeState.DRAINING:
            return self._agents.find(node.node_id)
        self._agents.start(node.node_id)
        return True

    def _repeat_ingress(self, node_ids: Iterable[str]) -> None:
        """Send all maps again: a new agent has none, and an HAProxy may have started meanwhile."""
        pem = self._certificate.read_text(encoding="ascii") if self._certificate else None
        with self._guard:
            is_complete = set(self._map_files) <= self._maps.keys()
            update = IngressUpdate(dict(self._maps), pem, is_complete=is_complete)
            self._send(dict.fromkeys(node_ids, update))

    def _send(self, updates: Mapping[str, IngressUpdate]) -> list[str]:
        """Send updates, and return the nodes that did not take theirs."""
        if not updates:
            return []
        failed: list[str] = []
        for node_id, answer in self._agents.call("update_ingress", {key: (one,) for key, one in updates.items()}).items():
            if isinstance(answer, EngineUnavailable):
                log.warning("%s", answer)
                self._sent.pop(node_id, None)
                failed.append(node_id)
            else:
                self._sent.setdefault(node_id, {}).update(updates[node_id].maps)
        return failed

    def _keep(self, node_id: str, report: NodeReport) -> None:
        known = self._known[node_id]
        for process in report.processes:
            keep_process(self._counters_dir, node_id, process)
            if process.is_alive:
                known[process.name] = process.mark
            else:
                known.pop(process.name, None)
        for file in report.payloads:
            keep_payload_file(self._payloads_dir, file)
        ended = [process.name for process in report.processes if not process.is_alive]
        if ended or report.payloads:
            self._agents.call("forget", {node_id: (ended, [file.path for file in report.payloads])})


class _MapOfEveryNode:
    """A map of this node's HAProxy, and then of all others'."""

    def __init__(self, own: IngressMap, name: str, nodes: NodeUpkeep) -> None:
        self._own = own
        self._name = name
        self._nodes = nodes

    def put(self, routes: Mapping[str, str], /) -> None:
        self._own.put(routes)
        self._nodes.publish(self._name, routes)
