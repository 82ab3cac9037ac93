"""Puts the Ray tasks and actors of a process into the job's placement group. Needs Ray, which the process has imported.

It leans on these names of Ray 2.60, which tests/integration/job_entrypoints/test_gang_scheduling.py proves:
``RemoteFunction._remote`` and ``ActorClass._remote`` (private), ``ray.util.placement_group`` (public), the
``PlacementGroupResourceManager`` of Ray Tune, and ``Pool._init_ray`` of ``ray.util.multiprocessing``, which joblib uses.
"""

from __future__ import annotations

import functools
import importlib
import json
import os
import sys

from job_entrypoints.contract import GROUP_AMOUNTS_VARIABLE, GROUP_VARIABLE

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from importlib.machinery import ModuleSpec
    from types import ModuleType
    from typing import Any

_INSTALLED = "_raylift_group"


def install() -> None:
    """Patch Ray in this process. Does nothing the second time."""
    ray = importlib.import_module("ray")
    if getattr(ray, _INSTALLED, None) is not None:
        return
    share = Share(os.environ[GROUP_VARIABLE], json.loads(os.environ[GROUP_AMOUNTS_VARIABLE]))
    setattr(ray, _INSTALLED, share)
    _place_in(importlib.import_module("ray.remote_function").RemoteFunction, share, default_cpus=1.0)
    # An actor that names no CPUs holds none while it runs.
    _place_in(importlib.import_module("ray.actor").ActorClass, share, default_cpus=0.0)
    _lend_groups(ray, share)
    sys.meta_path.insert(0, _Later(share))


class Share:
    """Resources of the job in Ray."""

    def __init__(self, group_id: str, amounts: dict[str, float]) -> None:
        self._group_id = group_id
        self._group: Any = None
        self.cpus = float(amounts["cpus"])
        self.part_cpus = float(amounts["part_cpus"])
        self.gpus = float(amounts["gpus"])

    @property
    def group(self) -> Any:
        if self._group is None:
            groups = importlib.import_module("ray.util.placement_group")
            self._group = groups.PlacementGroup(groups.PlacementGroupID.from_hex(self._group_id))
        return self._group

    def strategy(self) -> Any:
        """Return the strategy that takes any bundle with room. What it starts is placed by this module there, too."""
        strategies = importlib.import_module("ray.util.scheduling_strategies")
        return strategies.PlacementGroupSchedulingStrategy(self.group, -1, False)


def _place_in(kind: Any, share: Share, *, default_cpus: float) -> None:
    original = kind._remote

    @functools.wraps(original)
    def _remote(self: Any, args: Any = None, kwargs: Any = None, **options: Any) -> Any:
        if _uses_processors(options):
            options["scheduling_strategy"] = share.strategy()
            _fit(options, share.part_cpus, default_cpus)
            # It names nodes, and the group has its own.
            options.pop("label_selector", None)
        return original(self, args, kwargs, **options)

    kind._remote = _remote


def _fit(options: dict[str, Any], part_cpus: float, default_cpus: float) -> None:
    """Let tasks of up to one CPU, Ray's default, run in a job whose parts all have less than one."""
    if part_cpus < 1:
        wanted = options.get("num_cpus")
        if wanted is None:
            options["num_cpus"] = min(default_cpus, part_cpus)
        elif part_cpus < wanted <= 1:
            options["num_cpus"] = part_cpus


def _uses_processors(options: dict[str, Any]) -> bool:
    """Return False for helpers without CPUs or GPUs, which Ray places where they are needed: beside the script, on the head."""
    # Ray counts 1 CPU for the start of an actor that names none.
    return options.get("num_cpus") != 0 or bool(options.get("num_gpus"))


def _lend_groups(ray: Any, share: Share) -> None:
    """Give those who ask for a placement group the job's own. Ray Train and others ask for their workers."""
    groups = importlib.import_module("ray.util.placement_group")
    remove = groups.remove_placement_group

    def placement_group(*_: Any, **__: Any) -> Any:
        return share.group

    def remove_placement_group(placement_group: Any) -> None:
        if placement_group.id != share.group.id:
            remove(placement_group)

    for module in (groups, ray.util):
        vars(module).update(placement_group=placement_group, remove_placement_group=remove_placement_group)


def _limit_tune(module: ModuleType, share: Share) -> None:
    """Let Ray Tune count trials by what the job has, in place of a placement group for each."""
    fixed = importlib.import_module("ray.air.execution.resources.fixed").FixedResourceManager
    module.PlacementGroupResourceManager = lambda: fixed({"CPU": share.cpus, "GPU": share.gpus})  # type: ignore[attr-defined]


def _limit_pools(module: ModuleType, share: Share) -> None:
    """Let ``ray.util.multiprocessing`` and joblib's Ray backend start one process for each of the job's CPUs."""
    pool: Any = module.Pool
    original = pool._init_ray

    def _init_ray(self: Any, processes: int | None = None, ray_address: str | None = None) -> int:
        most = max(1, int(share.cpus))
        asked: int = original(self, None if processes is None else min(processes, most), ray_address)
        # Its processes hold their CPU in Ray, so they count like tasks.
        self._ray_remote_args = {"num_cpus": min(1.0, share.cpus), **self._ray_remote_args}
        return min(asked, most)

    pool._init_ray = _init_ray


_PATCHES: dict[str, Callable[[ModuleType, Share], None]] = {
    "ray.tune.execution.tune_controller": _limit_tune,
    "ray.util.multiprocessing.pool": _limit_pools,
}


class _Later:
    """A meta path finder that patches modules of Ray after their import."""

    def __init__(self, share: Share) -> None:
        self._share = share

    def find_spec(self, name: str, path: Any, target: ModuleType | None = None) -> ModuleSpec | None:
        patch = _PATCHES.get(name)
        if patch is None:
            return None
        for finder in sys.meta_path:
            find = getattr(finder, "find_spec", None)
            if finder is not self and find is not None and (spec := find(name, path, target)) is not None:
                _run_after(spec, lambda module: patch(module, self._share))
                return spec
        return None


def _run_after(spec: ModuleSpec, patch: Callable[[ModuleType], None]) -> None:
    loader: Any = spec.loader
    execute = loader.exec_module

    def exec_module(module: ModuleType) -> None:
        execute(module)
        patch(module)

    loader.exec_module = exec_module
