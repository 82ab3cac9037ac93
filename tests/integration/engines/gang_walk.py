"""A walk through the placement group of a job on a Ray of its own, with two logical GPUs. Prints what was seen as JSON."""

from __future__ import annotations

import json
import os
import sys
import time
from typing import Any

AMOUNTS = {"cpus": 1.5, "part_cpus": 0.5, "gpus": 2.0, "memory_bytes": 2**30}


def main() -> None:
    # Before Ray's import.
    os.environ |= {"RAY_AUTH_MODE": "disabled", "RAY_raylet_start_wait_time_s": "120"}
    import ray

    from raylift.domain.job import Resources, Workers
    from raylift.engines.ray_engine.groups import PlacementGroups

    # The variables are not known yet: the group comes first.
    hook = {"worker_process_setup_hook": "job_entrypoints.gang.worker.set_up"}
    ray.init(num_cpus=3, num_gpus=2, include_dashboard=False, log_to_driver=True, runtime_env=hook)
    seen: dict[str, object] = {}
    groups, wanted = PlacementGroups(), Resources(0.5, 2**28, 0.0, Workers(2, 0.5, 2**28, 1.0))
    groups.make("job_A-a1", wanted, selectors=[{}, {}, {}])
    while (group := groups.all()["job_A-a1"]).place is None:
        time.sleep(0.05)
    seen["places"] = [group.bundles, len(group.place.workers), len({group.place.script, *group.place.workers})]
    groups.make("job_B-a1", Resources(2.0, 2**28), selectors=[{}])
    time.sleep(1)
    seen["beyond"] = groups.all()["job_B-a1"].place is None
    groups.remove(groups.all()["job_B-a1"])

    variables = {"RAYLIFT_PLACEMENT_GROUP": group.group_id, "RAYLIFT_PLACEMENT_GROUP_AMOUNTS": json.dumps(AMOUNTS)}
    os.environ.update(variables)
    from job_entrypoints.gang.worker import keep_in_group

    keep_in_group()
    env = {"env_vars": variables}

    @ray.remote(num_cpus=0.5, num_gpus=1, scheduling_strategy="SPREAD", runtime_env=env)
    def with_gpu() -> tuple[str, str]:
        return ray.get_runtime_context().get_placement_group_id() or "", os.environ["CUDA_VISIBLE_DEVICES"]

    @ray.remote(runtime_env=env)
    def parent() -> list[str]:
        @ray.remote
        def child() -> str:
            return ray.get_runtime_context().get_placement_group_id() or ""

        return [ray.get_runtime_context().get_placement_group_id() or "", ray.get(child.options(num_cpus=0.25).remote())]

    @ray.remote(runtime_env=env)
    class Actor:
        def group(self) -> str:
            print("an actor's line")
            return ray.get_runtime_context().get_placement_group_id() or ""

    actor: Any = Actor.remote()
    found = [*(one for one, _ in ray.get([with_gpu.remote(), with_gpu.remote()])), *ray.get(parent.remote())]
    seen["in_group"] = {one == group.group_id for one in [*found, ray.get(actor.group.remote())]} == {True}
    seen["gpus"] = sorted(gpu for _, gpu in ray.get([with_gpu.remote(), with_gpu.remote()]))
    seen["busy"] = not groups.is_free(group)
    ray.kill(actor)
    seen["lent"] = ray.util.placement_group([{"CPU": 1}]).id.hex() == group.group_id

    import joblib
    from ray.util.joblib import register_ray

    register_ray()
    with joblib.parallel_backend("ray", n_jobs=-1, ray_remote_args={"runtime_env": env}):
        seen["processes"] = len(set(joblib.Parallel()(joblib.delayed(os.getpid)() for _ in range(4))))
    from ray.tune.execution import tune_controller

    seen["tune"] = type(vars(tune_controller)["PlacementGroupResourceManager"]()).__name__
    while not groups.is_free(group):
        time.sleep(0.2)
    groups.remove(group)
    seen["left"] = list(groups.all())
    print("SEEN", json.dumps(seen))


if __name__ == "__main__":
    sys.exit(main())
