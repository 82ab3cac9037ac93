"""Ray Data prepares a table in parallel, on the CPUs that the job asked for, and scikit-learn learns from it.

raylift train examples/distributed/ray_data.py --model prepared --workers 2 --worker-cpus 1
"""

from __future__ import annotations

import numpy as np
import ray.data
from sklearn.linear_model import LogisticRegression

ROWS = 1000


def prepare(batch: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    number = batch["id"].astype(float)
    return {"low": number % 7, "high": number // 7, "target": (number % 7 > number % 5).astype(int)}


table = ray.data.range(ROWS, override_num_blocks=4).map_batches(prepare).to_pandas()
print("rows", len(table))
features = table[["low", "high"]]
LogisticRegression(max_iter=500).fit(features, table["target"])
