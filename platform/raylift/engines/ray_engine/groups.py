"""Placement groups: the resources in Ray of a job whose script may start Ray tasks and actors."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, cast

import ray
from ray.util.placement_group import PlacementGroup, placement_group, placement_group_table, remove_placement_group

from raylift.domain.errors import EngineUnavailable
from raylift.domain.job import Resources, WorkerStrategy
from raylift.domain.nodes.gangs import Place
from raylift.ray_internals.placement_groups import group_from_hex

NODE_ID: Final = "ray.io/node-id"
"""Label of each node in Ray; its value is the node's id."""
_PREFIX: Final = "raylift-"
_READY: Final = "CREATED"
_REMOVED: Final = "REMOVED"
_MARKS: Final = 1000.0
"""Amount of the mark in each bundle: every task and actor in it holds a part of one."""


@dataclass(frozen=True, slots=True)
class Group:
    """A placement group. Its last bundle is the script's, the others are the workers'."""

    submission_id: str
    group_id: str
    """Ray's id, in hex."""
    place: Place | None
    """None while Ray has not placed it whole."""
    bundles: int


class PlacementGroups:
    """The groups of attempts, by submission id.

    Raises:
        EngineUnavailable: from every method, when Ray does not answer.
    """

    def all(self) -> dict[str, Group]:
        """Return the groups that exist."""
        try:
            table = cast("dict[str, dict[str, Any]]", placement_group_table())
        except Exception as error:  # Ray raises bare RuntimeError, ConnectionError and its own kinds here.
            raise EngineUnavailable(f"Ray does not list its placement groups: {error}") from error
        found = (_group(item) for item in table.values() if item["state"] != _REMOVED)
        return {group.submission_id: group for group in found if group is not None}

    def make(self, submission_id: str, wanted: Resources, *, selectors: Sequence[Mapping[str, str]]) -> None:
        """Ask Ray for a group. It places all bundles or none, and outlives the supervisor.

        Args:
            submission_id: of the attempt.
            wanted: of the job. GPUs of the script are not in the group: the script holds them itself.
            selectors: labels of the node of each bundle: those of the workers, then that of the script.
        """
        bundles, its = [_bundle(wanted.cpus, wanted.memory_bytes, 0.0)], wanted.workers
        strategy = "PACK"
        if its is not None:
            bundles = [_bundle(its.cpus, its.memory_bytes, its.gpus)] * its.count + bundles
            strategy = "SPREAD" if its.strategy is WorkerStrategy.SPREAD else "PACK"
        labels: dict[str, Any] = {"bundle_label_selector": [dict(selector) for selector in selectors]} if any(selectors) else {}
        try:
            placement_group(bundles, strategy=strategy, name=_PREFIX + submission_id, lifetime="detached", **labels)
        except Exception as error:  # As above.
            raise EngineUnavailable(f"Ray did not take the placement group of {submission_id}: {error}") from error

    def is_free(self, group: Group) -> bool:
        """Return True where no task or actor holds a part of the group."""
        try:
            free = cast("dict[str, float]", ray.available_resources())
        except Exception as error:  # As above.
            raise EngineUnavailable(f"Ray does not tell its free resources: {error}") from error
        return free.get(f"bundle_group_{group.group_id}", 0.0) >= _MARKS * group.bundles

    def remove(self, group: Group) -> None:
        """Remove a group with all tasks and actors in it. Does nothing for one that is gone."""
        try:
            remove_placement_group(PlacementGroup(group_from_hex(group.group_id)))
        except Exception as error:  # As above.
            raise EngineUnavailable(f"Ray does not remove the placement group of {group.submission_id}: {error}") from error


def _bundle(cpus: float, memory_bytes: int, gpus: float) -> dict[str, float]:
    amounts = {"CPU": cpus, "memory": float(memory_bytes), "GPU": gpus}
    return {name: amount for name, amount in amounts.items() if amount}


def _group(item: Mapping[str, Any]) -> Group | None:
    name: str = item.get("name") or ""
    if not name.startswith(_PREFIX):
        return None
    nodes: dict[int, str] = item["bundles_to_node_id"]
    count, place = len(item["bundles"]), None
    if item["state"] == _READY and len(nodes) == count and all(nodes.values()):
        *workers, script = (nodes[index] for index in range(count))
        place = Place(script, tuple(workers))
    return Group(name.removeprefix(_PREFIX), str(item["placement_group_id"]), place, count)
