"""The process that speaks gRPC (serve_apps/grpc_front), where a port for it is configured."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from raylift.launcher.run.record import RunRecord


def start_grpc_front(
    record: RunRecord, environment: Mapping[str, str], *, max_body_bytes: int, log: Path
) -> subprocess.Popen[bytes]:
    """Begin to start it, on ``record.ports["grpc"]``; it is started again whenever it ends.

    The process returned ends only when it cannot be started.
    """
    command = [
        *(sys.executable, "-m", "raylift.launcher.parts.restart"),
        *(sys.executable, "-m", "serve_apps.grpc_front"),
        *("--listen", f"{record.host}:{record.ports['grpc']}"),
        *("--ingress", record.gateway_url),
        *("--max-body-bytes", str(max_body_bytes)),
    ]
    with log.open("wb") as output:
        return subprocess.Popen(
            command,
            cwd=record.state_dir,
            env=dict(environment),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
