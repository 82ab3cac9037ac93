"""Leaving: drains the node of this machine and ends its processes."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Final

from raylift.launcher.errors import LauncherError
from raylift.launcher.nodes.record import NodeRecord, end_node, is_alive
from raylift.launcher.processes.starting import tail
from raylift.launcher.progress import Progress
from raylift.ray_internals.draining import DRAINED

_ANSWER_SECONDS: Final = 60
_PAUSE_SECONDS: Final = 0.5
_LAST_LINES: Final = 200


class StillBusy(LauncherError):
    """The node has jobs or replicas yet. It takes no new ones."""


def leave(
    record: NodeRecord,
    progress: Progress,
    *,
    timeout: float | None,
    now: bool = False,
    stop_waiting: Callable[[], bool] = lambda: False,
) -> list[str]:
    """Wait until the node has no work, and end it. Returns descriptions of the ended processes.

    Args:
        record: the node.
        progress: receives the steps.
        timeout: seconds to wait; None: no limit.
        now: do not wait. Its jobs start again on other nodes, and its replicas, too.
        stop_waiting: true ends the wait as the timeout does.

    Raises:
        StillBusy: it has work after ``timeout`` seconds. It goes on with it, and takes no new work.
        LauncherError: Ray does not drain the node.
    """
    if is_alive(record) and not now:
        _drain(record)
        with progress.step("Node", "its jobs to end and its replicas to move"):
            _wait_until_idle(record, timeout, stop_waiting)
    return end_node(record)


def was_drained(record: NodeRecord) -> bool:
    """Return True where Ray's node has ended because it was drained."""
    logs = record.session_dir.glob("r/session_*/logs/raylet.out")
    return any(DRAINED in tail(path, lines=_LAST_LINES) for path in logs)


def _drain(record: NodeRecord) -> None:
    """Ask Ray. The platform's API is not needed, and neither is a key."""
    try:
        done = subprocess.run(
            [sys.executable, "-m", "raylift.ray_internals.draining", record.ray_address, record.address],
            env={**os.environ, **record.environment, "RAY_AUTH_TOKEN_PATH": str(record.ray_token_file)},
            capture_output=True,
            text=True,
            timeout=_ANSWER_SECONDS,
            check=False,
        )
        problem = done.stderr if done.returncode else None
    except subprocess.TimeoutExpired:
        problem = f"no answer within {_ANSWER_SECONDS} s"
    if problem is not None:
        raise LauncherError(
            f"Ray at {record.ray_address} does not drain this node.",
            log_tail="\n".join(problem.splitlines()[-5:]),
            hint="If the platform is gone: raylift leave --now.",
        )


def _wait_until_idle(record: NodeRecord, timeout: float | None, stop_waiting: Callable[[], bool]) -> None:
    began = time.monotonic()
    deadline = None if timeout is None else began + timeout
    while is_alive(record):
        if stop_waiting() or (deadline is not None and time.monotonic() > deadline):
            raise StillBusy(
                f"This node still has work after {time.monotonic() - began:.0f} s. It takes no new work.",
                hint="Wait with raylift leave, or end its work, which starts again elsewhere: raylift leave --now.",
            )
        time.sleep(_PAUSE_SECONDS)
