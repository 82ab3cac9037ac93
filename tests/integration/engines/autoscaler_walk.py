"""A walk through Ray's autoscaler on a head of its own: ``autoscaler_walk.py PORT``. Prints what was seen as JSON.

Ray's ``AutoscalingCluster`` is no help: its start ends every Ray process on the machine.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

GIB = 2**30
HEAD_ID = "f" * 51 + "00000"
"""Id that Ray's fake provider expects of the head."""


def configuration(gcs_address: str) -> dict[str, Any]:
    big = {"CPU": 4, "GPU": 1, "memory": GIB}
    commands = ("initialization", "setup", "head_setup", "worker_setup", "head_start_ray", "worker_start_ray")
    return {
        "cluster_name": "walk",
        "max_workers": 3,
        "idle_timeout_minutes": 0.1,
        "provider": {
            "type": "external",
            "module": "tests.integration.engines.machine_provider.MachineProvider",
            "gcs_address": gcs_address,
            "use_node_id_as_ip": True,
            "disable_node_updaters": True,
            "disable_launch_config_check": True,
        },
        "available_node_types": {
            "ray.head.default": {"resources": {"CPU": 1}, "node_config": {}, "max_workers": 0},
            "big": {"resources": big, "node_config": {}, "min_workers": 0, "max_workers": 2},
        },
        "head_node_type": "ray.head.default",
        "auth": {},
        "docker": {},
        "upscaling_speed": 1,
        "file_mounts": {},
        "file_mounts_sync_continuously": False,
        "cluster_synced_files": [],
        "rsync_exclude": [],
        "rsync_filter": [],
        **{f"{name}_commands": [] for name in commands},
    }


def start_head(directory: Path, address: str, port: int) -> subprocess.Popen[bytes]:
    file = directory / "ray.json"
    file.write_text(json.dumps(configuration(f"{address}:{port}")))
    options = {
        "autoscaling-config": file,
        "port": port,
        "node-ip-address": address,
        "num-cpus": 1,
        "memory": GIB // 2,
        "object-store-memory": 80 * 2**20,
        "include-dashboard": "false",
        "dashboard-port": port + 2,
        "temp-dir": directory / "r",
        "ray-client-server-port": port + 1,
        "dashboard-agent-listen-port": 0,
        "min-worker-port": 0,
        "max-worker-port": 0,
    }
    fake = {
        "AUTOSCALER_UPDATE_INTERVAL_S": "1",
        # Of a busy machine.
        "RAY_agent_register_timeout_ms": "300000",
        "RAY_FAKE_CLUSTER": "1",
        "RAY_CLOUD_INSTANCE_ID": HEAD_ID,
        "RAY_OVERRIDE_NODE_ID_FOR_TESTING": HEAD_ID,
    }
    command = [sys.executable, "-m", "ray.scripts.scripts", "start", "--head", "--block", "--disable-usage-stats"]
    command += [part for name, value in options.items() for part in (f"--{name}", str(value))]
    with (directory / "head.log").open("wb") as log:
        return subprocess.Popen(command, env=os.environ | fake, stdout=log, stderr=log, start_new_session=True)


def main() -> None:
    # Before Ray's import.
    os.environ |= {"RAY_AUTH_MODE": "disabled", "RAY_raylet_start_wait_time_s": "180"}
    from ray._private.services import get_node_ip_address

    from raylift.domain.job import Resources
    from raylift.engines.ray_engine.autoscaler import Autoscaler
    from raylift.engines.ray_engine.cluster import Cluster

    port, address = int(sys.argv[1]), get_node_ip_address()
    directory = Path(tempfile.mkdtemp(prefix="rla"))
    head = start_head(directory, address, port)
    seen: dict[str, object] = {}
    try:
        until(lambda: head.poll() is not None or "Ray runtime started" in (directory / "head.log").read_text(), 240)
        if head.poll() is not None:
            raise RuntimeError((directory / "head.log").read_text()[-2000:])
        until(lambda: connects(f"{address}:{port}"), 240)
        autoscaler, cluster = Autoscaler(), Cluster(serving_reserve_cpus=0.5)

        def gpus() -> list[float]:
            return sorted(node.gpus for node in cluster.nodes())

        seen["before"] = gpus()
        autoscaler.request([Resources(1.0, GIB // 2), Resources(2.0, GIB // 4, 1.0)])
        seen["asked"] = until(lambda: gpus() == [0.0, 1.0], 240)
        if not seen["asked"]:
            raise RuntimeError((directory / "r/session_latest/logs/monitor.log").read_text()[-3000:])
        (added,) = (node for node in cluster.nodes() if node.gpus)
        seen["added"] = [added.cpus, added.memory_bytes, added.gpus, added.is_head]
        autoscaler.request([])
        seen["withdrawn"] = until(lambda: gpus() == [0.0], 240)
    finally:
        os.killpg(head.pid, signal.SIGTERM)
        head.wait(60)
        print("SEEN", json.dumps(seen), flush=True)
        shutil.rmtree(directory, ignore_errors=True)


def connects(address: str) -> bool:
    import ray

    try:
        ray.init(address=address, log_to_driver=False)
    except (ConnectionError, RuntimeError):  # A busy machine.
        return False
    return True


def until(condition: Any, seconds: float) -> bool:
    give_up = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > give_up:
            return False
        time.sleep(0.3)
    return True


if __name__ == "__main__":
    main()
