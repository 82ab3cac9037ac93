"""A node provider for Ray's autoscaler whose machines are further Ray nodes on this machine.

Ray's own (``fake_multinode``) cannot give a node memory, which every job asks for.
"""

from __future__ import annotations

from typing import Any

from ray._private.node import Node
from ray._private.parameter import RayParams
from ray.autoscaler._private.fake_multi_node.node_provider import FakeMultiNodeProvider
from ray.autoscaler.tags import (
    NODE_KIND_WORKER,
    STATUS_UP_TO_DATE,
    TAG_RAY_NODE_KIND,
    TAG_RAY_NODE_NAME,
    TAG_RAY_NODE_STATUS,
    TAG_RAY_USER_NODE_TYPE,
)


class MachineProvider(FakeMultiNodeProvider):
    def _create_node_with_resources_and_labels(
        self, node_config: Any, tags: dict[str, str], count: int, resources: dict[str, Any], labels: dict[str, str]
    ) -> None:
        gcs_address = str(self.provider_config["gcs_address"])
        with self.lock:
            node_type, node_id = tags[TAG_RAY_USER_NODE_TYPE], self._next_hex_node_id()
            params = RayParams(
                gcs_address=gcs_address,
                node_ip_address=gcs_address.partition(":")[0],
                num_cpus=resources.get("CPU", 0),
                num_gpus=resources.get("GPU", 0),
                memory=resources.get("memory"),
                object_store_memory=80 * 2**20,
                labels=labels,
                node_manager_port=0,
                object_manager_port=0,
                dashboard_agent_listen_port=0,
                metrics_export_port=0,
                min_worker_port=0,
                max_worker_port=0,
                env_vars={
                    "RAY_OVERRIDE_NODE_ID_FOR_TESTING": node_id,
                    "RAY_CLOUD_INSTANCE_ID": node_id,
                    "RAY_NODE_TYPE_NAME": node_type,
                },
            )
            node = Node(params, head=False, shutdown_at_exit=False, spawn_reaper=False)
            own = {
                TAG_RAY_NODE_KIND: NODE_KIND_WORKER,
                TAG_RAY_USER_NODE_TYPE: node_type,
                TAG_RAY_NODE_NAME: node_id,
                TAG_RAY_NODE_STATUS: STATUS_UP_TO_DATE,
            }
            nodes: dict[str, Any] = self._nodes
            nodes[node_id] = {"tags": {**own, **tags}, "node": node}
