"""BentoML, plain and with its adaptive batching.

MODEL=model.joblib bentoml serve bento_service:Plain
"""

from __future__ import annotations

import os

import bentoml  # pyright: ignore[reportMissingImports] - in an environment of its own
import joblib
import numpy as np

WORKERS = {"workers": 1}


@bentoml.service(**WORKERS)  # pyright: ignore[reportUntypedClassDecorator]
class Plain:
    def __init__(self) -> None:
        self.model = joblib.load(os.environ["MODEL"])

    @bentoml.api
    def predict(self, inputs: np.ndarray) -> np.ndarray:
        return self.model.predict(inputs)


@bentoml.service(**WORKERS)  # pyright: ignore[reportUntypedClassDecorator]
class Batched:
    def __init__(self) -> None:
        self.model = joblib.load(os.environ["MODEL"])

    @bentoml.api(batchable=True, max_batch_size=64, max_latency_ms=1000)
    def predict(self, inputs: np.ndarray) -> np.ndarray:
        return self.model.predict(inputs)
