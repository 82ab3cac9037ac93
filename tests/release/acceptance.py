"""CI's acceptance walk, on the platform of the wheel. RAYLIFT_WALK is its script, which takes the platform's address."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from tests.release.conftest import ROOT


@pytest.mark.timeout(900)
def test_wheel_passes_the_acceptance_walk(url: str) -> None:
    log = ROOT / "build" / "walk.log"
    log.parent.mkdir(exist_ok=True)
    with log.open("w", encoding="utf-8") as printed:
        done = subprocess.run(
            [sys.executable, os.environ["RAYLIFT_WALK"], url],
            stdin=subprocess.DEVNULL,
            stdout=printed,
            stderr=subprocess.STDOUT,
            check=False,
        )
    assert done.returncode == 0, log.read_text(encoding="utf-8")
