"""Compares the answers of other servers with a replica's, for the same model files and request bodies.

    python tests/benchmarks/same_answers.py

``mlflow models serve`` and MLServer run in environments of their own (serving_peers.py installs them). Prints the table of
docs/reference/protocols.md; exit code 1 where an answer differs.
"""

from __future__ import annotations

import argparse
import asyncio
import io
import json
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pandas as pd
import serving_models
import serving_peers

from raylift.api.paths import version_route
from serve_apps.model_server.loading.loader import load_directory
from serve_apps.model_server.server.asgi import ReplicaApp

JSON = "application/json"
ROWS = np.random.default_rng(0).standard_normal((100, serving_models.FEATURES)) * 3
BOOSTERS = ("lightgbm", "xgboost")


@dataclass(frozen=True)
class Body:
    name: str
    content: bytes
    media_type: str = JSON
    column: int | None = None
    """Column of our probabilities that a peer answers if it serves the booster itself. None: all columns."""
    to_peer: bytes | None = None
    """The peer's request body. None: the same as ours."""


@dataclass(frozen=True)
class Replica:
    app: ReplicaApp
    route: str

    def post(self, beneath: str, body: Body) -> httpx.Response:
        async def ask() -> httpx.Response:
            transport: Any = httpx.ASGITransport(self.app, root_path=self.route)  # pyright: ignore[reportArgumentType]
            async with httpx.AsyncClient(transport=transport, base_url="http://replica") as client:
                headers = {"content-type": body.media_type}
                return await client.post(self.route + beneath, content=body.content, headers=headers)

        return asyncio.run(ask())


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cache", type=Path, default=Path.home() / ".cache/raylift-bench")
    cache: Path = parser.parse_args().cache
    serving_peers.install(cache)
    differs = False
    with tempfile.TemporaryDirectory() as scratch:
        for model in serving_models.MODELS:
            directory = serving_models.make(model, cache)
            replica = Replica(ReplicaApp(load_directory(model, "1", directory / "mlflow")), version_route(model, "1"))
            peers = serving_peers.servers(model, directory, cache)
            for key, beneath, bodies in (("mlflow", "/invocations", scoring()), ("mlserver", "/infer", tensors(model))):
                with serving_peers.running(peers[key], model, directory, Path(scratch)) as url:
                    for body in bodies:
                        said = compared(key, url, replica.post(beneath, body), body)
                        differs = differs or said != "same"
                        print(f"| {model} | {peers[key].name} | {body.name} | {said} |", flush=True)
    return int(differs)


def compared(key: str, url: str, ours: httpx.Response, body: Body) -> str:
    content = body.to_peer or body.content
    theirs = httpx.post(url, content=content, headers={"content-type": body.media_type}, trust_env=False, timeout=60)
    if ours.status_code != theirs.status_code:
        return f"**{ours.status_code} instead of {theirs.status_code}**: {ours.text[:200]} / {theirs.text[:200]}"
    if not theirs.is_success:
        return "same"
    one, other = ours.json(), theirs.json()
    if key == "mlserver":
        one, other = values_of(one, body.column), values_of(other)
    return "same" if one == other else f"**differs**: {str(one)[:200]} / {str(other)[:200]}"


def values_of(answer: dict[str, Any], column: int | None = None) -> list[Any]:
    """Names, datatypes and values of V2 outputs. MLServer's additional axis of 1 on a plain column is ignored."""
    if column is None:
        return [(output["name"], output["datatype"], np.ravel(output["data"]).tolist()) for output in answer["outputs"]]
    (output,) = answer["outputs"]
    return [("predict", output["datatype"], np.reshape(output["data"], output["shape"])[:, column].tolist())]


def scoring() -> Iterator[Body]:
    frame = pd.DataFrame(ROWS)
    some = ROWS[:5].tolist()
    yield Body("inputs", json.dumps({"inputs": some}).encode())
    yield Body("inputs, 100 rows", json.dumps({"inputs": ROWS.tolist()}).encode())
    yield Body("instances", json.dumps({"instances": some}).encode())
    yield Body("dataframe_split", json.dumps({"dataframe_split": {"data": some}}).encode())
    yield Body("CSV", frame.to_csv(index=False).encode(), "text/csv")
    named = frame.rename(columns=str)
    parquet = io.BytesIO()
    named.to_parquet(parquet, index=False)
    yield Body("Parquet", parquet.getvalue(), "application/vnd.apache.parquet")
    yield Body("too few features", b'{"inputs": [[1, 2]]}')
    yield Body("no JSON", b"{")


def tensors(model: str) -> Iterator[Body]:
    rows = {"FP64": ROWS[:5], "FP64, 100 rows": ROWS, "FP32": ROWS[:5].astype(np.float32), "INT64": ROWS[:5].astype(np.int64)}
    for name, values in rows.items():
        datatype = name.partition(",")[0]
        if model in BOOSTERS:
            asked = tensor(values, datatype, "predict_proba")
            yield Body(f"{name}: probabilities", asked, column=1, to_peer=tensor(values, datatype))
        else:
            yield Body(name, tensor(values, datatype))
    if model not in BOOSTERS:
        yield Body("predict_proba", tensor(ROWS[:5], "FP64", "predict_proba"))
        yield Body("predict and predict_proba", tensor(ROWS[:5], "FP64", "predict", "predict_proba"))


def tensor(rows: Any, datatype: str, *outputs: str) -> bytes:
    body: dict[str, Any] = {
        "inputs": [{"name": "x", "shape": list(rows.shape), "datatype": datatype, "data": rows.ravel().tolist()}]
    }
    if outputs:
        body["outputs"] = [{"name": name} for name in outputs]
    return json.dumps(body).encode()


if __name__ == "__main__":
    sys.exit(main())
