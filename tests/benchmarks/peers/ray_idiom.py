"""Ray Serve as in its documentation: a FastAPI gateway that calls a deployment handle, with the default proxy.

python ray_idiom.py PORT MODEL      starts a Ray of its own, which ends with it
"""

# No postponed annotations: FastAPI reads them in the replica, which lacks this script's imports.
import signal
import sys
from typing import Any

import joblib
import numpy as np
import ray
from fastapi import FastAPI, Request
from ray import serve

api = FastAPI()


@serve.deployment(ray_actor_options={"num_cpus": 0.1}, max_ongoing_requests=64)
class Served:
    def __init__(self, path: str) -> None:
        self.model = joblib.load(path)

    def __call__(self, inputs: list[list[float]]) -> list[Any]:
        return self.model.predict(np.array(inputs)).tolist()


@serve.deployment(ray_actor_options={"num_cpus": 0.1}, max_ongoing_requests=64)
@serve.ingress(api)  # pyright: ignore[reportUntypedClassDecorator]
class Gateway:
    def __init__(self, served: Any) -> None:
        self.served = served

    @api.post("/predict")
    async def predict(self, request: Request) -> dict[str, Any]:
        return {"predictions": await self.served.remote((await request.json())["inputs"])}


def main() -> None:
    port, path = int(sys.argv[1]), sys.argv[2]
    ray.init(address="local", num_cpus=2, include_dashboard=False, log_to_driver=False, object_store_memory=100_000_000)
    serve.start(proxy_location="HeadOnly", http_options={"host": "127.0.0.1", "port": port})
    serve.run(Gateway.bind(Served.bind(path)))
    signal.sigwait({signal.SIGTERM, signal.SIGINT})
    serve.shutdown()
    ray.shutdown()


if __name__ == "__main__":
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM, signal.SIGINT})
    main()
