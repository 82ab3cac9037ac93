from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

from job_entrypoints.limits.live_usage import LiveUsage


def test_record_has_the_processes_below_the_root(tmp_path: Path) -> None:
    burn = "sum(range(10**6)); print('x', flush=True); input()"
    with subprocess.Popen([sys.executable, "-c", burn], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        child.stdout.readline()
        live = LiveUsage(str(tmp_path), os.getpid())
        live.write_when_due(lambda: 4096, 1.25)
        assert not list(tmp_path.iterdir()), "it is not due"
        live._due_at = time.monotonic()
        live.write_when_due(lambda: 4096, 1.25)
        child.communicate(b"\n")
    record = json.loads((tmp_path / "usage.json").read_text())
    assert record["memory_bytes"] == 4096
    assert record["processes"] >= 1
    assert record["cpu_seconds"] > 1.25
    assert abs(record["at"] - time.time()) < 60
