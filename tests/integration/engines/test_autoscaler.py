"""Ray's autoscaler starts a machine that is asked for, and ends it when the request is withdrawn."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from raylift.launcher.run.ports import is_free

WALK = Path(__file__).with_name("autoscaler_walk.py")
GIB = 2**30


@pytest.mark.ray
@pytest.mark.nightly
@pytest.mark.timeout(600)
def test_machine_comes_when_it_is_asked_for_and_goes_when_it_is_not() -> None:
    first = next(port for port in range(26_000, 32_000, 10) if all(is_free(port + more) for more in range(3)))
    done = subprocess.run([sys.executable, str(WALK), str(first)], capture_output=True, text=True, timeout=580, check=False)
    seen = json.loads(done.stdout.partition("SEEN ")[2].partition("\n")[0])
    assert seen == {
        "before": [0.0],
        "asked": True,
        "added": [4.0, GIB, 1.0, False],
        "withdrawn": True,
    }, done.stderr[-3000:]
