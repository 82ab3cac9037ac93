"""Compares answers over HTTP with the library's own, bit by bit."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import httpx
import joblib
import numpy as np
import serving_models

_TOGETHER = 16
"""Requests in flight, so that replicas can form batches."""


def check(url: str, model: str, directory: Path, count: int) -> str:
    """Request ``count`` random rows, one a request, and the same rows in requests of 1 to 40.

    Compares each answer with the library's ``predict`` and ``predict_proba`` of the same rows in one call of the same size.
    """
    library: Any = joblib.load(directory / "model.joblib")
    if hasattr(library, "n_jobs"):
        library.n_jobs = 1
    rows = serving_models.sample(model, count, 11)
    random = np.random.default_rng(11)
    singles = [(index, index + 1) for index in range(count)]
    ends = np.cumsum(random.integers(1, 41, count)).clip(max=count)
    groups = [(int(start), int(end)) for start, end in zip([0, *ends], ends, strict=False) if start < end]
    route, whole = f"{url}/v2/models/{model}/versions/1/predict", serving_models.batch(model, rows)
    wrong = sum(asyncio.run(_differences(route, library, rows, whole, parts)) for parts in (singles, groups))
    return f"{model}: {count} rows in {len(singles) + len(groups)} requests, {wrong} answers differ by a bit"


async def _differences(url: str, library: Any, rows: list[Any], table: Any, parts: list[tuple[int, int]]) -> int:
    limit = asyncio.Semaphore(_TOGETHER)
    # Row by row, a forest takes scikit-learn a minute. Its rows are independent; the last bit of a matrix product is not.
    multiplies = hasattr(library, "coef_") or hasattr(library[-1] if hasattr(library, "steps") else None, "coef_")
    whole = None if multiplies else (library.predict(table), library.predict_proba(table))
    async with httpx.AsyncClient(timeout=60, trust_env=False) as client:

        async def differs(start: int, end: int) -> bool:
            async with limit:
                answer = await client.post(url, json={"inputs": rows[start:end], "return_probabilities": True})
            said = answer.raise_for_status().json()
            if whole is None:
                wanted = library.predict(table[start:end]), library.predict_proba(table[start:end])
            else:
                wanted = whole[0][start:end], whole[1][start:end]
            return said["predictions"] != wanted[0].tolist() or said["probabilities"] != wanted[1].tolist()

        return sum(await asyncio.gather(*(differs(start, end) for start, end in parts)))
