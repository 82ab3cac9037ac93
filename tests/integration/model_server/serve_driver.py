"""Runs applications on a cluster. A JSON object on standard input lists them."""

from __future__ import annotations

import json
import sys

import ray
from pydantic import TypeAdapter
from ray import serve
from ray.serve.config import HTTPOptions

from raylift.api.paths import version_route
from raylift.domain.identifiers import application_name
from raylift.domain.models.deployment import DeploymentConfig
from raylift.domain.models.replica import ObserverConfig, ReplicaSpec
from serve_apps.model_server.ray.app import build

_CONFIG = TypeAdapter(DeploymentConfig)


def main() -> None:
    order = json.loads(sys.stdin.read())
    ray.init(address=order["address"], log_to_driver=False)
    serve.start(proxy_location="HeadOnly", http_options=HTTPOptions(host="127.0.0.1", port=order["port"]))
    for name in order.get("delete", ()):
        serve.delete(name, _blocking=False)
    targets = []
    for values in order["specs"]:
        observer = ObserverConfig.of(values["observer"]) if "observer" in values else ObserverConfig()
        spec = ReplicaSpec(**values | {"config": _CONFIG.validate_python(values["config"]), "observer": observer})
        name, route = application_name(spec.model_name, spec.version), version_route(spec.model_name, spec.version)
        targets.append(serve.RunTarget(build(spec), name=name, route_prefix=route))
    if targets:
        serve.run_many(targets, wait_for_ingress_deployment_creation=False, wait_for_applications_running=False)
    ray.shutdown()


if __name__ == "__main__":
    main()
