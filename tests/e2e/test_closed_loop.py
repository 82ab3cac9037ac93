"""The closed loop example on a real platform, unattended: its own exit code says whether everything happened."""

from __future__ import annotations

import subprocess
import sys
import uuid
from pathlib import Path

import pytest

from raylift import Client
from raylift.launcher import LocalPlatform

LOOP = Path(__file__).parents[2] / "examples" / "closed_loop" / "loop.py"


def live(platform: LocalPlatform, model: str, *options: str) -> None:
    command = [sys.executable, LOOP, "--url", platform.url, "--model", model, *options]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.nightly
def test_drift_is_told_and_the_version_that_knows_it_takes_over(platform: LocalPlatform, client: Client) -> None:
    model = f"loop-{uuid.uuid4().hex[:6]}"
    live(platform, model, *["--days", "5", "--suburbs-from", "1", "--winter-from", "99", "--broken-export", "0"])
    *_, first = client.rollouts.list(model=model)
    assert (first.champion, first.candidate, first.status) == ("1", "2", "completed")
    assert {alert.feature for alert in client.monitors.alerts(model, 1)} >= {"distance_km"}
    assert client.monitors.get(model, 2).settings == client.monitors.get(model, 1).settings


@pytest.mark.nightly
@pytest.mark.timeout(3600)
def test_thirty_days_with_two_drifts_and_a_bad_model(platform: LocalPlatform) -> None:
    live(platform, f"loop-{uuid.uuid4().hex[:6]}")
