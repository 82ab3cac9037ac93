"""Whether the wrapper runs in the environment that its job was promised.

Ray passes over a field of a runtime_env that it does not know, with a warning in its own logs. On a node without Raylift's
plugin a job would therefore run without its requirements, while its record shows them.
"""

# ruff: noqa: PTH118, PTH123
# (importing pathlib would cost every job's start some milliseconds)
from __future__ import annotations

import json
import os
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from job_entrypoints.attempt.record import Attempt

READY = ".ok"
"""As raylift.engines.environments.overlays.overlay.READY, repeated; a unit test compares."""


def broken_promise(attempt: Attempt, prefix: str = sys.prefix) -> str | None:
    """What is wrong with the environment in ``prefix``; None when it is the job's."""
    if not attempt.in_overlay or not attempt.environment_lock:
        return None
    if _lock_of(prefix) == sorted(set(attempt.environment_lock)):
        return None
    return (
        f"Ray's node {os.uname().nodename} started the job in {prefix}, without its requirements "
        f"({', '.join(attempt.environment_lock)}): Ray on this node does not have Raylift's plugin. Start the node with "
        "Raylift installed and RAY_RUNTIME_ENV_PLUGINS in the environment of its `ray start`, or set "
        "environments.mechanism: ray_uv (docs/guides/environments.md, Without the plugin)."
    )


def _lock_of(prefix: str) -> list[str] | None:
    """What the overlay in ``prefix`` holds; None when there is no overlay."""
    try:
        with open(os.path.join(prefix, READY), encoding="utf-8") as file:
            return sorted(json.load(file)["lock"])
    except FileNotFoundError:
        return None
