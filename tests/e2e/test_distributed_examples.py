"""The examples of distributed training, as they are in the repository."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from raylift import Client

EXAMPLES = Path(__file__).resolve().parents[2] / "examples" / "distributed"
WORKERS = {"count": 2, "cpus": 0.25, "memory": "2GiB"}


@pytest.mark.nightly
@pytest.mark.parametrize("name", ["xgboost_trainer", "lightgbm_trainer", "ray_data"])
def test_example_trains_and_registers_a_model(client: Client, name: str) -> None:
    job = client.train(EXAMPLES / f"{name}.py", model=f"distributed-{name}", cpus=0.5, workers=WORKERS, deploy=False)
    job.wait(300, progress=False)
    assert job.model_version == "1"


@pytest.mark.nightly
@pytest.mark.timeout(1800)
def test_torch_example_trains_and_registers_a_model(client: Client) -> None:
    script = EXAMPLES / "torch_trainer.py"
    made: dict[str, Any] = {"requirements": ["torch"], "torch_backend": "cpu", "timeout": 1500}
    job = client.train(script, model="distributed-torch", cpus=0.5, workers=WORKERS, deploy=False, **made)
    job.wait(1700, progress=False)
    assert job.model_version == "1"
