"""Agents of joined nodes as detached Ray actors, one a node."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import ray
from ray.exceptions import ActorDiedError, RayError, RayTaskError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from raylift.domain.errors import EngineUnavailable
from raylift.engines.node_agent import NodeAgent, NodeDirectories

_NAMESPACE: Final = "raylift"
_ANSWER_SECONDS: Final = 5.0
"""A node without power would hold up all others. Ray declares it dead within a minute or so."""


class NodeAgents:
    """The agents, by the id of their node. They outlive the supervisor, and Ray starts them again."""

    def __init__(self, directories: NodeDirectories) -> None:
        self._directories = directories
        self._handles: dict[str, Any] = {}

    def start(self, node_id: str) -> None:
        """Start the agent of a node unless it runs. Does not wait for it.

        Raises:
            EngineUnavailable: Ray does not answer.
        """
        if node_id in self._handles:
            return
        options: dict[str, Any] = {
            "name": _name(node_id),
            "namespace": _NAMESPACE,
            "lifetime": "detached",
            "get_if_exists": True,
            "num_cpus": 0,
            "max_restarts": -1,
            "scheduling_strategy": NodeAffinitySchedulingStrategy(node_id, soft=False),
        }
        try:
            self._handles[node_id] = ray.remote(NodeAgent).options(**options).remote(self._directories)
        except (RayError, ValueError, RuntimeError) as error:
            raise EngineUnavailable(f"Ray does not start an agent on node {node_id}: {error}") from error

    def find(self, node_id: str) -> bool:
        """Look for the agent of a node. Returns False without one."""
        if node_id not in self._handles:
            try:
                self._handles[node_id] = ray.get_actor(_name(node_id), namespace=_NAMESPACE)
            except (RayError, ValueError):
                return False
        return True

    def end(self, node_id: str) -> None:
        """End the agent of a node. A draining node leaves only without it."""
        handle = self._handles.pop(node_id, None)
        if handle is not None:
            ray.kill(handle, no_restart=True)

    def forget(self, node_id: str) -> None:
        """Forget the agent of a node that is gone."""
        self._handles.pop(node_id, None)

    def call(self, method: str, arguments: Mapping[str, Sequence[Any]]) -> dict[str, Any]:
        """Call the agents of several nodes at a time.

        Args:
            method: a method of ``NodeAgent``.
            arguments: its arguments, by node.

        Returns:
            The answers; an EngineUnavailable for an agent that failed or did not answer in time.
        """
        calls = {node_id: getattr(self._handles[node_id], method).remote(*given) for node_id, given in arguments.items()}
        ray.wait(list(calls.values()), num_returns=len(calls), timeout=_ANSWER_SECONDS)
        return {node_id: self._answer(node_id, call) for node_id, call in calls.items()}

    def _answer(self, node_id: str, call: Any) -> Any:
        try:
            return ray.get(call, timeout=0)
        except RayTaskError as error:
            return EngineUnavailable(f"The agent of node {node_id} failed: {error.cause}")
        except ActorDiedError as error:
            # Ray starts it no more: the next look makes a new one.
            self.forget(node_id)
            return EngineUnavailable(f"The agent of node {node_id} has ended: {error}")
        except (RayError, TimeoutError) as error:
            return EngineUnavailable(f"The agent of node {node_id} does not answer: {error}")


def _name(node_id: str) -> str:
    return f"node-agent-{node_id}"
