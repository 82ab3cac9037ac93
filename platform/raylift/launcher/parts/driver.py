"""Process that starts Serve, the supervisor and the gateway on a new Ray head, and ends. Runs in the head's environment.

It reads one JSON object from standard input, because command lines and environments are readable and it has the database's
address. It writes one line of JSON per finished step to standard output.
"""

from __future__ import annotations

import json
import sys
from concurrent.futures import ThreadPoolExecutor
from typing import Final

import ray
from pydantic import BaseModel
from ray import serve
from ray.serve.config import HTTPOptions

from raylift.settings import PlatformSettings
from raylift.supervisor.actor import ensure_supervisor, replace_supervisor, revive_supervisor
from serve_apps.gateway.app import build

NAMESPACE: Final = "raylift"
GATEWAY: Final = "gateway"
_KEEP_ALIVE_SECONDS: Final = 90


class DriverOrder(BaseModel):
    """Input from the launcher."""

    ray_address: str
    port: int
    settings: PlatformSettings
    remembers: bool = False
    """Ray knows the actors of the start before, and has begun to start them again, with their former settings."""


def main() -> None:
    order = DriverOrder.model_validate_json(sys.stdin.read())
    ray.init(address=order.ray_address, namespace=NAMESPACE, log_to_driver=False)
    # 127.0.0.1 is also for replicas, but where machines may join (serve_ingress.py).
    # The address of the API is set by HAProxy's wrapper (ingress/haproxy.py).
    http = HTTPOptions(host="127.0.0.1", port=order.port, keep_alive_timeout_s=_KEEP_ALIVE_SECONDS)
    # Where machines may join, each node with replicas has an HAProxy.
    serve.start(proxy_location="HeadOnly" if order.settings.cluster is None else "EveryNode", http_options=http)
    _report("serve", "ready")
    # At the same time, because both import for seconds.
    with ThreadPoolExecutor(max_workers=1) as thread:
        # The gateway of the start before revives supervisors with its former settings: it has to be replaced first.
        supervisor = None if order.remembers else thread.submit(ensure_supervisor, order.settings)
        serve.run(build(order.settings.model_dump_json(), revive_supervisor), name=GATEWAY, route_prefix="/")
        _report("gateway", "ready")
        _report("supervisor", str(replace_supervisor(order.settings) if supervisor is None else supervisor.result()))
    ray.shutdown()


def _report(part: str, what: str) -> None:
    sys.stdout.write(json.dumps({"part": part, "is": what}) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
