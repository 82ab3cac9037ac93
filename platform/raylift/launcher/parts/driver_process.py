"""Has the driver (driver.py) fill the Ray head, and follows what it says."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from raylift.launcher.processes.logs import tail
from raylift.launcher.processes.wait import wait_for
from raylift.launcher.run.record import RunRecord
from raylift.settings import PlatformSettings


class Filling:
    """A driver at work."""

    def __init__(self, record: RunRecord, settings: PlatformSettings, environment: Mapping[str, str], logs_dir: Path) -> None:
        self._said = record.session_dir / "driver.jsonl"
        self._log = logs_dir / "driver.log"
        order = {
            "ray_address": record.ray_address,
            "port": record.ports["gateway"],
            "settings": settings.model_dump(mode="json"),
        }
        with self._said.open("wb") as said, self._log.open("wb") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "raylift.launcher.parts.driver"],
                cwd=record.session_dir,
                env=dict(environment),
                stdin=subprocess.PIPE,
                stdout=said,
                stderr=log,
                start_new_session=True,
            )
        if self._process.stdin is not None:
            self._process.stdin.write(json.dumps(order).encode())
            self._process.stdin.close()

    def wait_for(self, part: str, *, what: str, timeout: float) -> str:
        """Wait until the driver has done ``part``, and return what it said of it.

        Raises:
            LauncherError: the driver failed or took too long.
        """
        wait_for(lambda: part in self._done(), what=what, timeout=timeout, maker=self._process, log_tail=self.log_tail)
        return self._done()[part]

    def log_tail(self) -> str:
        """The end of what it wrote about its troubles."""
        return tail(self._log)

    def _done(self) -> dict[str, str]:
        lines = self._said.read_text(encoding="utf-8").splitlines(keepends=True)
        said: list[dict[str, Any]] = [json.loads(line) for line in lines if line.startswith("{") and line.endswith("\n")]
        return {entry["part"]: entry["is"] for entry in said}
