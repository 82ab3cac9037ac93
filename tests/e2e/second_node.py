"""A further Ray node on this machine: ``python second_node.py HOST:PORT`` (address of the GCS). Runs until SIGTERM.

``ray start --address`` does not work here: it replaces 127.0.0.1 by the machine's other address, on which the head does not
listen.
"""

from __future__ import annotations

import signal
import sys
import threading

from ray._private.node import Node
from ray._private.parameter import RayParams

CPUS = 4


def main() -> None:
    ended = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: ended.set())
    params = RayParams(
        gcs_address=sys.argv[1],
        node_ip_address="127.0.0.1",
        num_cpus=CPUS,
        memory=2**30,
        object_store_memory=80 * 2**20,
        node_manager_port=0,
        object_manager_port=0,
        dashboard_agent_listen_port=0,
        metrics_export_port=0,
        min_worker_port=0,
        max_worker_port=0,
    )
    node = Node(params, head=False, shutdown_at_exit=False, spawn_reaper=False)
    ended.wait()
    node.kill_all_processes(check_alive=False, allow_graceful=True)


if __name__ == "__main__":
    main()
