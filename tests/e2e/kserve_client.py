"""Sends requests to a platform with KServe's client and prints the answers.

Runs in an environment of its own: kserve needs protobuf below 7 and psutil below 6, and the platform needs newer ones.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from typing import Any

import httpx
import numpy as np
from kserve import (  # pyright: ignore[reportMissingImports]
    InferenceRESTClient,
    InferInput,
    InferRequest,
    RESTConfig,
)


def send_key(request: httpx.Request) -> httpx.Request:
    """Add the key of the environment, where there is one."""
    if "RAYLIFT_API_KEY" in os.environ:
        request.headers["Authorization"] = f"Bearer {os.environ['RAYLIFT_API_KEY']}"
    return request


async def main(url: str, iris: str, people: str | None = None) -> dict[str, Any]:
    v2, v1 = (InferenceRESTClient(RESTConfig(protocol=protocol, auth=send_key)) for protocol in ("v2", "v1"))
    rows = np.array([[5.1, 3.5, 1.4, 0.2], [6.7, 3.0, 5.2, 2.3]])
    said: dict[str, Any] = {
        "live": await v2.is_server_live(url),
        "ready": await v2.is_server_ready(url),
        "model ready": await v2.is_model_ready(url, iris),
        "model ready, v1": await v1.is_model_ready(url, iris),
        "no such model": await v2.is_model_ready(url, "no-such-model"),
    }
    for binary in (False, True):
        tensor = InferInput("x", list(rows.shape), "FP64")
        tensor.set_data_from_numpy(rows, binary_data=binary)
        answer = await v2.infer(url, InferRequest(model_name=iris, infer_inputs=[tensor]), model_name=iris)
        said[f"infer, binary {binary}"] = answer.outputs[0].as_numpy().tolist()
    answer = await v2.infer(url, InferRequest(model_name=iris, infer_inputs=[tensor]), model_name=f"{iris}/versions/1")
    said["infer, a version"] = answer.outputs[0].as_numpy().tolist()
    if people is not None:
        said["text"] = await texts(v2, url, people)
    said["predict, v1"] = await v1.infer(url, {"instances": rows.tolist()}, model_name=iris)
    try:
        await v1.infer(url, {"instances": [[1.0]]}, model_name=iris)
    except httpx.HTTPStatusError as error:
        said["refused, v1"] = str(error)
    for client in (v1, v2):
        await client.close()
    return said


async def texts(client: InferenceRESTClient, url: str, people: str) -> list[str]:
    """Ask a model with text."""
    age, city = InferInput("age", [2], "INT64"), InferInput("city", [2], "BYTES")
    age.set_data_from_numpy(np.array([45, 23]), binary_data=False)
    city.set_data_from_numpy(np.array([b"Oslo", b"Rome"], dtype=object), binary_data=True)
    answer = await client.infer(url, InferRequest(model_name=people, infer_inputs=[age, city]), model_name=people)
    return [str(text) for text in answer.outputs[0].data]


if __name__ == "__main__":
    print(json.dumps(asyncio.run(main(*sys.argv[1:]))))
