"""The short process that fills a fresh Ray head: Serve, the supervisor and the gateway. Runs in the head's environment.

Reads one JSON object from standard input (never the command line or the environment: it holds the database's address), and
says on standard output, one line each, what it has done.
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
from raylift.supervisor.actor import ensure_supervisor
from serve_apps.gateway.app import build

NAMESPACE: Final = "raylift"
GATEWAY: Final = "gateway"
_KEEP_ALIVE_SECONDS: Final = 90


class DriverOrder(BaseModel):
    """What the launcher asks for."""

    ray_address: str
    port: int
    settings: PlatformSettings


def main() -> None:
    order = DriverOrder.model_validate_json(sys.stdin.read())
    ray.init(address=order.ray_address, namespace=NAMESPACE, log_to_driver=False)
    # 127.0.0.1 for the replicas too; where the API itself listens is the HAProxy wrapper's matter (ingress/haproxy.py).
    http = HTTPOptions(host="127.0.0.1", port=order.port, keep_alive_timeout_s=_KEEP_ALIVE_SECONDS)
    serve.start(proxy_location="HeadOnly", http_options=http)
    _say("serve", "ready")
    # Both take seconds to import what they need: at once.
    with ThreadPoolExecutor(max_workers=1) as thread:
        supervisor = thread.submit(ensure_supervisor, order.settings)
        serve.run(build(order.settings.model_dump_json()), name=GATEWAY, route_prefix="/")
        _say("gateway", "ready")
        _say("supervisor", str(supervisor.result()))
    ray.shutdown()


def _say(part: str, what: str) -> None:
    sys.stdout.write(json.dumps({"part": part, "is": what}) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
