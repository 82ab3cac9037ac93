"""Checks that the wrapper runs in its job's environment.

Ray ignores an unknown field of a runtime_env, with a warning in its own logs. On a node without Raylift's plugin a job would
run without its requirements, while its record shows them.
"""

from __future__ import annotations

import json
import os
import sys

from job_entrypoints.contract import OVERLAY_READY_FILE

TYPE_CHECKING = False
if TYPE_CHECKING:
    from job_entrypoints.attempt.record import Attempt


def environment_mismatch(attempt: Attempt, prefix: str = sys.prefix) -> str | None:
    """A message on the wrong environment in ``prefix``; None if it is the job's."""
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
    """The lock of the overlay in ``prefix``, sorted; None if there is no overlay."""
    try:
        with open(os.path.join(prefix, OVERLAY_READY_FILE), encoding="utf-8") as file:
            return sorted(json.load(file)["lock"])
    except FileNotFoundError:
        return None
