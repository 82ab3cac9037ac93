"""Answers over HTTP beside the library's own, bit by bit."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import httpx
import joblib
import numpy as np

_TOGETHER = 16
"""Requests in flight, so that groups are made where they are made at all."""


def check(url: str, model: str, directory: Path, count: int) -> str:
    """Ask for ``count`` random rows, one a request, and for the same rows in requests of 1 to 40.

    Each is compared with the library's ``predict`` and ``predict_proba`` of the same rows in one call of the same size.
    """
    library: Any = joblib.load(directory / "model.joblib")
    if hasattr(library, "n_jobs"):
        library.n_jobs = 1
    random = np.random.default_rng(11)
    rows = random.standard_normal((count, 20)) * random.choice([0.1, 1.0, 10.0], (count, 1))
    singles = [(index, index + 1) for index in range(count)]
    ends = np.cumsum(random.integers(1, 41, count)).clip(max=count)
    groups = [(int(start), int(end)) for start, end in zip([0, *ends], ends, strict=False) if start < end]
    wrong = sum(asyncio.run(_differences(f"{url}/v2/models/{model}/versions/1/predict", library, rows, parts))
                for parts in (singles, groups))  # fmt: skip
    return f"{model}: {count} rows in {len(singles) + len(groups)} requests, {wrong} answers differ by a bit"


async def _differences(url: str, library: Any, rows: Any, parts: list[tuple[int, int]]) -> int:
    limit = asyncio.Semaphore(_TOGETHER)
    # One by one, a forest would take scikit-learn a minute; its rows do not depend on each other, a product's last bit does.
    whole = None if hasattr(library, "coef_") else (library.predict(rows), library.predict_proba(rows))
    async with httpx.AsyncClient(timeout=60, trust_env=False) as client:

        async def differs(start: int, end: int) -> bool:
            async with limit:
                answer = await client.post(url, json={"inputs": rows[start:end].tolist(), "return_probabilities": True})
            said = answer.raise_for_status().json()
            if whole is None:
                wanted = library.predict(rows[start:end]), library.predict_proba(rows[start:end])
            else:
                wanted = whole[0][start:end], whole[1][start:end]
            return said["predictions"] != wanted[0].tolist() or said["probabilities"] != wanted[1].tolist()

        return sum(await asyncio.gather(*(differs(start, end) for start, end in parts)))
