"""Fake of Ray's placement groups: a node with CPUs, on which groups are placed in the order of their requests."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from raylift.domain.errors import EngineUnavailable
from raylift.domain.job import Resources
from raylift.domain.nodes.gangs import Place
from raylift.engines.ray_engine.groups import Group


@dataclass
class FakeGroups:
    free: float = 100.0
    """CPUs that no group holds."""
    down: bool = False
    groups: dict[str, Group] = field(default_factory=dict[str, Group])
    wanted: dict[str, float] = field(default_factory=dict[str, float])
    selectors: list[Sequence[Mapping[str, str]]] = field(default_factory=list[Sequence[Mapping[str, str]]])
    busy: set[str] = field(default_factory=set[str])
    """Groups in which a task runs."""
    removed: list[str] = field(default_factory=list[str])

    def all(self) -> dict[str, Group]:
        if self.down:
            raise EngineUnavailable("Ray is away")
        for name, group in self.groups.items():
            if group.place is None and self.wanted[name] <= self.free:
                self.free -= self.wanted[name]
                self.groups[name] = replace(group, place=Place("node", ("node",) * (group.bundles - 1)))
        return dict(self.groups)

    def make(self, submission_id: str, wanted: Resources, *, selectors: Sequence[Mapping[str, str]]) -> None:
        assert submission_id not in self.groups, "it exists"
        bundles = 1 + (wanted.workers.count if wanted.workers else 0)
        assert len(selectors) == bundles
        self.groups[submission_id] = Group(submission_id, "0f" * 18, None, bundles)
        self.wanted[submission_id] = wanted.whole.cpus
        self.selectors.append(selectors)

    def is_free(self, group: Group) -> bool:
        return group.submission_id not in self.busy

    def remove(self, group: Group) -> None:
        if self.groups.pop(group.submission_id).place is not None:
            self.free += self.wanted[group.submission_id]
        self.removed.append(group.submission_id)
