"""The example for GPUs. Without one it says so and trains on the CPU; ``make test-gpu`` runs it where there is one."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLE = Path(__file__).resolve().parents[3] / "examples" / "gpu" / "xgboost_gpu.py"
HAS_GPU = Path("/proc/driver/nvidia").exists()


@pytest.mark.gpu
def test_xgboost_example_uses_the_gpu_that_it_has(tmp_path: Path) -> None:
    own = {name: value for name, value in os.environ.items() if not name.startswith("MLFLOW_")}
    variables = {**own, "MLFLOW_TRACKING_URI": f"sqlite:///{tmp_path}/mlflow.db", "CUDA_VISIBLE_DEVICES": "0"}
    done = subprocess.run(
        [sys.executable, str(EXAMPLE)], cwd=tmp_path, env=variables, capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert done.stdout.splitlines()[-1] == f"trained on {'cuda' if HAS_GPU else 'cpu'}"
    assert ("No GPU: " in done.stdout) is not HAS_GPU
