"""Start of the driver (driver.py), and its reported steps."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from raylift.launcher.processes.starting import tail, wait_for
from raylift.launcher.run.record import RunRecord
from raylift.settings import PlatformSettings


class DriverProcess:
    def __init__(
        self,
        record: RunRecord,
        settings: PlatformSettings,
        environment: Mapping[str, str],
        logs_dir: Path,
        *,
        remembers: bool = False,
    ) -> None:
        self._output = record.session_dir / "driver.jsonl"
        self._log = logs_dir / "driver.log"
        order = {
            "ray_address": record.ray_address,
            "port": record.ports["gateway"],
            "settings": settings.model_dump(mode="json"),
            "remembers": remembers,
        }
        with self._output.open("wb") as output, self._log.open("wb") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "raylift.launcher.parts.driver"],
                cwd=record.session_dir,
                env=dict(environment),
                stdin=subprocess.PIPE,
                stdout=output,
                stderr=log,
                start_new_session=True,
            )
        if self._process.stdin is not None:
            self._process.stdin.write(json.dumps(order).encode())
            self._process.stdin.close()

    def wait_for(self, part: str, *, what: str, timeout: float) -> str:
        """Wait until the driver has started ``part``, and return its report.

        Raises:
            LauncherError: the driver failed or took too long.
        """
        wait_for(lambda: part in self._done(), what=what, timeout=timeout, process=self._process, log_tail=self.log_tail)
        return self._done()[part]

    def log_tail(self) -> str:
        """Return the end of its error output."""
        return tail(self._log)

    def _done(self) -> dict[str, str]:
        lines = self._output.read_text(encoding="utf-8").splitlines(keepends=True)
        reports: list[dict[str, Any]] = [json.loads(line) for line in lines if line.startswith("{") and line.endswith("\n")]
        return {report["part"]: report["is"] for report in reports}
