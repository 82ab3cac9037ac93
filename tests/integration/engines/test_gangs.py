"""Placement groups of jobs on a real Ray, and the names of Ray that ``job_entrypoints/gang`` leans on."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

WALK = Path(__file__).with_name("gang_walk.py")


@pytest.mark.ray
@pytest.mark.gpu
@pytest.mark.timeout(600)
def test_what_a_job_starts_stays_in_its_group() -> None:
    done = subprocess.run([sys.executable, str(WALK)], capture_output=True, text=True, timeout=540, check=False)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    seen = json.loads(done.stdout.partition("SEEN ")[2].partition("\n")[0])
    assert seen == {
        "places": [3, 2, 1],
        "beyond": True,
        "in_group": True,
        "gpus": ["0", "1"],
        "busy": True,
        "lent": True,
        "processes": 1,
        "tune": "FixedResourceManager",
        "left": [],
    }
    assert "(Actor pid=" in done.stdout + done.stderr, "the line of a worker has its prefix"
