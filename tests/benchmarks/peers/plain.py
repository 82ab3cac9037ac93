"""The floor: FastAPI on uvicorn and the library's ``predict``. With FAST=1: Raylift's fast path of the same model, and orjson.

MODEL=model.joblib [FAST=1 PYTHONPATH=…] uvicorn plain:app
"""

from __future__ import annotations

import os
from typing import Any

import joblib
import numpy as np
import pandas as pd
from fastapi import FastAPI, Request, Response

app = FastAPI()
model: Any = joblib.load(os.environ["MODEL"])
if hasattr(model, "n_jobs"):
    model.n_jobs = 1


@app.post("/predict")
async def predict(request: Request) -> Any:
    inputs = (await request.json())["inputs"]
    rows = pd.DataFrame(inputs) if isinstance(inputs[0], dict) else np.array(inputs, dtype=np.float64)
    return {"predictions": model.predict(rows).tolist()}


if os.environ.get("FAST"):
    import orjson

    from serve_apps.model_server.predictors.fast_paths.fast_path import FastPath

    def fast_path() -> FastPath:
        if type(model).__module__.startswith("lightgbm"):
            from serve_apps.model_server.predictors.fast_paths import lightgbm

            found = lightgbm.estimator_path(model)
        elif type(model).__module__.startswith("xgboost"):
            from serve_apps.model_server.predictors.fast_paths import xgboost

            found = xgboost.estimator_path(model)
        else:
            from serve_apps.model_server.predictors.sklearn import fast_path_of

            found = fast_path_of(model)
        assert found is not None
        return found

    path = fast_path()

    @app.post("/fast")
    async def fast(request: Request) -> Response:
        rows = path.prepare(np.array(orjson.loads(await request.body())["inputs"]))
        assert rows is not None
        answer = orjson.dumps({"predictions": path.predictions(path.scores(rows)).tolist()})
        return Response(answer, media_type="application/json")
