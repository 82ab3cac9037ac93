"""Jobs whose scripts use Ray: their workers are admitted with them, and use nothing that admission gave to others."""

from __future__ import annotations

import time
from pathlib import Path

import httpx
import pytest

from raylift import Client, InvalidRequest
from raylift.launcher import LocalPlatform

TRAIN = """
import os, pathlib
import ray, ray.train
from ray.train import Checkpoint, RunConfig, ScalingConfig
from ray.train.v2.api.data_parallel_trainer import DataParallelTrainer

def loop(config):
    import tempfile
    context = ray.train.get_context()
    print("rank", context.get_world_rank(), "of", context.get_world_size())
    with tempfile.TemporaryDirectory() as folder:
        pathlib.Path(folder, "weights").write_text("1")
        ray.train.report({"loss": 0.5}, checkpoint=Checkpoint.from_directory(folder))

workers, cpus = int(os.environ["RAYLIFT_WORKERS"]), float(os.environ["RAYLIFT_WORKER_CPUS"])
result = DataParallelTrainer(
    loop,
    train_loop_config={},
    scaling_config=ScalingConfig(num_workers=workers, resources_per_worker={"CPU": cpus}),
    run_config=RunConfig(name="run", storage_path=os.environ["RAYLIFT_STORAGE"]),
).fit()

@ray.remote(num_cpus=0.25, scheduling_strategy="SPREAD")
def group():
    return ray.get_runtime_context().get_placement_group_id()

print("loss", result.metrics["loss"], "group", ray.get(group.remote()) == os.environ["RAYLIFT_PLACEMENT_GROUP"])
"""


def groups_of(platform: LocalPlatform) -> list[str]:
    """Names of the placement groups, by Ray's dashboard."""
    token = platform.record.ray_token_file.read_text().strip()
    with httpx.Client(base_url=platform.record.ray_dashboard_url, headers={"Authorization": f"Bearer {token}"}) as http:
        found = http.get("/api/v0/placement_groups", params={"limit": 100}).json()["data"]["result"]["result"]
    return [group["name"] for group in found if group["state"] != "REMOVED"]


@pytest.fixture
def script(tmp_path: Path) -> Path:
    path = tmp_path / "gang.py"
    path.write_text(TRAIN)
    return path


def test_ray_train_runs_in_the_gang_of_its_job(platform: LocalPlatform, client: Client, script: Path) -> None:
    workers = {"count": 2, "cpus": 0.25, "memory": "512MiB"}
    check = client.train(script, experiment="gangs", cpus=0.25, memory="1GiB", workers=workers, dry_run=True)
    assert check.resources.workers is not None
    assert (check.isolation, check.resources.workers.count) == ("cluster", 2)
    job = client.train(script, experiment="gangs", cpus=0.25, memory="1GiB", workers=workers)
    job.wait(180, progress=False)
    log = job.logs()
    assert "loss 0.5 group True" in log
    assert "rank 0 of 2" in log and "rank 1 of 2" in log, "the log has the workers' output"
    assert job.view.resources.workers is not None
    assert job.view.resources.workers.cpus == 0.25
    assert (platform.record.state_dir / "storage" / job.job_id / "run").is_dir()
    end = time.monotonic() + 20
    while any(job.job_id in name for name in groups_of(platform)):
        assert time.monotonic() < end, "its placement group was left"
        time.sleep(0.5)


def test_gang_that_can_never_fit_is_refused(client: Client, script: Path) -> None:
    with pytest.raises(InvalidRequest, match="could never hold the script"):
        client.train(script, workers={"count": 1000, "cpus": 4})
    with pytest.raises(InvalidRequest, match="isolation: cluster"):
        client.train(script, workers=1, isolation="sandbox")
